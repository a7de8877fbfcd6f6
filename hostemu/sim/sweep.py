"""What a sweep plays: every combination of the values of some keys, each with the same seeds.

The same seeds for every combination (common random numbers) let combinations be compared seed by seed: what differs
is then the setting, not the luck.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from hostemu.base.errors import InputError, ScenarioError
from hostemu.measure.costs import Costs
from hostemu.records import summary
from hostemu.scenario import Scenario
from hostemu.scenario.problems import Source, known_keys, single_error, unknown_key, validated
from hostemu.scenario.toml import KeyPath
from hostemu.sim.engines import EngineName, choose_engine
from hostemu.sim.fleet import simulate_fleet
from hostemu.sim.simulate import simulate

EXAMPLE = "--sweep concurrency=100,200"
MOST_POINTS = 100_000

NOT_KEPT = ("scenario_text", "host", "started_at")
"""What a point's summary leaves out: it is the same for all, or of no interest."""


@dataclass(frozen=True)
class Axis:
    """A key of the scenario, dotted, and the values that it takes, as texts."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Point:
    """One run of a sweep.  settings: (key, value) of every axis."""

    settings: tuple[tuple[str, str], ...]
    seed: int


def parse_axis(text: str) -> Axis:
    """An axis from "KEY=VALUE,VALUE…"; a key may be given by its end, if only one has it.  ScenarioError if not."""
    name, equals, values = text.partition("=")
    found = tuple(value.strip() for value in values.split(","))
    if not equals or not name.strip() or not all(found):
        raise ScenarioError(
            "a sweep that sweeps nothing", expected=f"KEY=VALUE,VALUE…, such as {EXAMPLE}", found=text
        )
    if len(set(found)) < len(found):
        raise ScenarioError("a sweep with a value twice", expected="different values", found=text)
    return Axis(_resolved(tuple(part.strip() for part in name.split(".")), text), found)


def _resolved(path: KeyPath, text: str) -> str:
    """The dotted key that ends in this path."""
    known = list(known_keys(Scenario))
    ending = [key for key in known if key[-len(path) :] == path]
    if path in ending:
        ending = [path]
    if len(ending) > 1:
        names = ", ".join(".".join(key) for key in ending)
        raise ScenarioError(f"{'.'.join(path)} may be several keys", expected=f"one of {names}", found=text)
    if not ending:
        raise single_error(unknown_key(Scenario, path, Source(f"--sweep {text}")))
    return ".".join(ending[0])


def points(axes: Sequence[Axis], first_seed: int, replications: int) -> list[Point]:
    """Every run, seed by seed: a sweep that is interrupted has nearly as many seeds of each combination.

    InputError for an axis that is there twice, and for more than MOST_POINTS runs.
    """
    keys = [axis.key for axis in axes]
    if len(set(keys)) < len(keys):
        raise InputError("a key is swept twice", expected="each key once", found=", ".join(keys))
    combinations = list(product(*([(axis.key, value) for value in axis.values] for axis in axes)))
    if len(combinations) * replications > MOST_POINTS:
        found = f"{len(combinations)} combinations, {replications} times"
        raise InputError("a sweep that is too large", expected=f"at most {MOST_POINTS} runs", found=found)
    return [Point(settings, first_seed + n) for n in range(replications) for settings in combinations]


def play_text(text: str, seed: int, costs: Costs, engine: str) -> dict[str, Any]:
    """Play a scenario given as TOML: the summary of its run.  It needs nothing but its arguments, anywhere."""
    import tomllib

    scenario = validated(Scenario, tomllib.loads(text), Source("a point of the sweep"))
    choice = choose_engine(EngineName(engine), scenario, costs, traced=False)
    if choice.name is EngineName.FLEET:
        record = simulate_fleet(scenario, seed=seed, threads=1)
    else:
        record = simulate(scenario, seed=seed, costs=costs)
    return {name: value for name, value in summary(record).items() if name not in NOT_KEPT}
