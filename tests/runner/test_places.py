"""Where campaigns are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostemu.base.errors import InputError
from hostemu.runner.places import places_for
from tests.measure.builders import campaign

ONLY_COSTS = campaign(iperf=None, memory=None, guests=None, boot=None)
NO_COSTS = campaign(costs=None)


def test_a_campaign_has_a_folder() -> None:
    places = places_for(NO_COSTS, Path("there"))
    assert (places.journal, places.summary) == (Path("there/campaign.jsonl"), Path("there/campaign.json"))
    assert places.costs is None
    assert places.blocks == Path("there/blocks").resolve()
    assert places_for(NO_COSTS, None).journal == Path("campaigns/small/campaign.jsonl")
    assert places_for(campaign(), None).costs == Path("campaigns/small/costs.toml")


def test_costs_alone_may_be_a_file_with_the_journal_beside_it() -> None:
    places = places_for(ONLY_COSTS, Path("a/my.toml"))
    assert (places.costs, places.journal, places.summary) == (Path("a/my.toml"), Path("a/my.jsonl"), None)
    assert places_for(ONLY_COSTS, None).costs == Path("costs.toml")
    assert places_for(ONLY_COSTS, Path("folder")).costs == Path("folder/costs.toml")


def test_costs_of_several_backends_are_in_the_models_of_a_folder() -> None:
    places = places_for(ONLY_COSTS, None, ["netns", "uml"])
    assert (places.costs, places.models) == (None, Path("campaigns/small/models.toml"))
    assert places_for(ONLY_COSTS, None, ["netns", "netns"]).costs == Path("costs.toml")
    with pytest.raises(InputError, match="one backend"):
        places_for(ONLY_COSTS, Path("my.toml"), ["netns", "uml"])


def test_other_campaigns_do_not_fit_into_a_file() -> None:
    with pytest.raises(InputError, match="needs a folder"):
        places_for(NO_COSTS, Path("my.toml"))
