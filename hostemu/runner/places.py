"""Where a campaign's results are kept, from what the user says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hostemu.base.errors import InputError
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
    costs: the cost model, if the campaign measures one.
    """

    journal: Path
    blocks: Path
    summary: Path | None
    costs: Path | None
    models: Path | None = None


def places_for(campaign: Campaign, output: Path | None) -> Places:
    """Where a campaign goes: into a folder, or, if it measures costs only, beside a file that ends in .toml."""
    measures_costs = campaign.costs is not None
    only_costs = [figure for figure, _ in campaign.figures()] == ["costs"]
    if output is None:
        output = Path(COSTS) if only_costs else FOLDER / campaign.name
    if output.suffix == ".toml":
        if not only_costs:
            raise InputError(
                f"campaign {campaign.name} needs a folder", expected="--output DIR", found=f"--output {output}"
            )
        return Places(output.with_suffix(".jsonl"), output.with_suffix(".blocks").resolve(), None, output)
    costs = output / COSTS if measures_costs else None
    models = None if only_costs else output / MODELS
    return Places(output / JOURNAL, (output / BLOCKS).resolve(), output / SUMMARY, costs, models)
