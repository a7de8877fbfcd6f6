"""Where a campaign's results are kept, from what the user says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hostemu.base.errors import InputError
from hostemu.fitting.action_costs import MEASURED_BY
from hostemu.measure.definition import Campaign

JOURNAL, SUMMARY, BLOCKS = "campaign.jsonl", "campaign.json", "blocks"
COSTS, MODELS = "costs.toml", "models.toml"
FOLDER = Path("campaigns")
"""Of the folders of campaigns, unless the user names one."""


@dataclass(frozen=True)
class Places:
    """Files of a campaign.

    blocks: a folder, by its absolute path, for the files of blocks; those of blocks that failed stay.
    summary, models: None where there is room for a cost model only.
    costs: the cost model, if the campaign measures one, of one backend.
    """

    journal: Path
    blocks: Path
    summary: Path | None
    costs: Path | None
    models: Path | None = None


def places_for(campaign: Campaign, output: Path | None, backends: Sequence[str] = ()) -> Places:
    """Where a campaign goes: into a folder, or, if it measures costs only, beside a file that ends in .toml.

    backends: that are measured; the costs of several are in the models only.
    """
    measures_costs, is_of_one = campaign.costs is not None, len(set(backends)) <= 1
    only_costs = measures_costs and {figure for figure, _ in campaign.figures()} <= {*MEASURED_BY}
    if output is None:
        output = Path(COSTS) if only_costs and is_of_one else FOLDER / campaign.name
    if output.suffix == ".toml":
        if not only_costs or not is_of_one:
            what = (
                f"campaign {campaign.name}" if not only_costs else "a cost model is that of one backend: a campaign"
            )
            raise InputError(f"{what} needs a folder", expected="--output DIR", found=f"--output {output}")
        return Places(output.with_suffix(".jsonl"), output.with_suffix(".blocks").resolve(), None, output)
    costs = output / COSTS if measures_costs and is_of_one else None
    return Places(output / JOURNAL, (output / BLOCKS).resolve(), output / SUMMARY, costs, output / MODELS)
