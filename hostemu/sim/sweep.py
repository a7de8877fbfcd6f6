"""What a sweep plays: every combination of the values of some keys, each with the same seeds.

Keys are the scenario's, and those of the host that its guests share: whose costs computation has, how many cores
there are, and what may wait for a CPU.

The same seeds for every combination (common random numbers) let combinations be compared seed by seed: what differs
is then the setting, not the luck.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from hostemu.base.errors import InputError, ScenarioError
from hostemu.measure.costs import QUEUES, Costs
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


HOST = "host"
BACKEND = f"{HOST}.backend"
CHOSEN = ""
"""The backend that is not swept, but chosen for all runs."""

NUMBERS = {f"{HOST}.{name}": name for name in ("cores", *QUEUES)}
"""Keys of the host that are whole numbers, and their fields of Costs."""


@dataclass(frozen=True)
class Axis:
    """A key of the scenario or of the host, dotted, and the values that it takes, as texts."""

    key: str
    values: tuple[str, ...]


Settings = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Point:
    """One run of a sweep.  settings: (key, value) of every axis."""

    settings: Settings
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
    known = [*known_keys(Scenario), *(tuple(key.split(".")) for key in (BACKEND, *NUMBERS))]
    ending = [key for key in known if key[-len(path) :] == path]
    if path in ending:
        ending = [path]
    if len(ending) > 1:
        names = ", ".join(".".join(key) for key in ending)
        raise ScenarioError(f"{'.'.join(path)} may be several keys", expected=f"one of {names}", found=text)
    if not ending:
        raise single_error(unknown_key(Scenario, path, Source(f"--sweep {text}")))
    return ".".join(ending[0])


def split(settings: Settings) -> tuple[list[str], dict[str, str]]:
    """(overrides of the scenario, KEY=VALUE each; values of the host's keys)."""
    host = {key: value for key, value in settings if key.startswith(f"{HOST}.")}
    return [f"{key}={value}" for key, value in settings if key not in host], host


def backends(axes: Sequence[Axis]) -> tuple[str, ...]:
    """The backends that are swept; CHOSEN alone where none is."""
    return next((axis.values for axis in axes if axis.key == BACKEND), (CHOSEN,))


def costs_on(host: Mapping[str, str], by_backend: Mapping[str, Costs]) -> Costs:
    """The costs on such a host.  by_backend: what actions cost on guests of each of `backends`.

    InputError for a number that is none, and where no costs are known to begin with.
    """
    costs = by_backend[host.get(BACKEND, CHOSEN)]
    changes: dict[str, Any] = {NUMBERS[key]: _number(key, value) for key, value in host.items() if key in NUMBERS}
    if changes and costs.is_free:
        raise InputError(
            f"{', '.join(key for key in host if key in NUMBERS)}: computation takes no time",
            expected="a file of what actions cost",
            found="none",
            hint="add --model, such as costs.toml made by `hostemu calibrate costs`",
        )
    return replace(costs, **changes)


def _number(key: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise InputError(f"{key} is wrong", expected="a whole number", found=value) from None


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


@dataclass(frozen=True)
class Task:
    """A run that can be computed anywhere.

    text: the scenario as TOML.  time_scale: how much faster than meant its durations are; results are told as meant.
    """

    text: str
    costs: Costs
    engine: str
    time_scale: float = 1.0

    def play(self, seed: int) -> dict[str, Any]:
        """The summary of the run."""
        scenario = validated(Scenario, tomllib.loads(self.text), Source("a point of the sweep"))
        choice = choose_engine(EngineName(self.engine), scenario, self.costs, traced=False)
        if choice.name is EngineName.FLEET:
            record = simulate_fleet(scenario, seed=seed, threads=1)
        else:
            record = simulate(scenario, seed=seed, costs=self.costs)
        found = summary(replace(record, time_scale=self.time_scale))
        return {name: value for name, value in found.items() if name not in NOT_KEPT}
