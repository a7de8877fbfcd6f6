"""`hostemu size`: what a retrieval in a given time needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table

from hostemu.base.errors import InputError
from hostemu.base.units import parse_duration_ns, parse_size_bytes
from hostemu.cli.costing import DEFAULT_BACKEND, ModelOption, costs_from
from hostemu.cli.output import (
    JsonOption,
    ScenarioArgument,
    SeedOption,
    SetOption,
    TerminalsOption,
    overrides,
    progress_bar,
    results_console,
    terminals_override,
    write_json,
)
from hostemu.cli.progress import RunDisplay
from hostemu.measure.host import host_facts
from hostemu.runner.forecast.hosts import Count, Hosts, hosts_for
from hostemu.runner.forecast.kept import kept_models
from hostemu.runner.forecast.parts import size_of as size_of_run
from hostemu.scenario import Scenario, load_scenario
from hostemu.sim.sizing import HEADROOM, Played, Sizing, require_sensible
from hostemu.sim.sizing import size as size_of


def size(
    within: Annotated[
        str, typer.Option(metavar="DURATION", help='When the last terminal must be retrieved: "120 s".')
    ],
    scenario: ScenarioArgument = "thesis-uml",
    terminals: TerminalsOption = None,
    model: ModelOption = None,
    backend: Annotated[
        str | None,
        typer.Option(
            help="Guests whose costs are taken from a file with models of several (netns unless said); also say how "
            "many machines like this one a real run on them takes."
        ),
    ] = None,
    host_memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help='Memory of such a machine, if not as here: "64 GiB".')
    ] = None,
    host_cores: Annotated[int | None, typer.Option(min=1, help="Cores of such a machine, if not as here.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds that each answer is the mean of.")] = 5,
    settings: SetOption = None,
    seed: SeedOption = None,
    json: JsonOption = None,
) -> None:
    """Say how many terminals must be contacted at a time, how many ISP servers that takes, and what limits it."""
    plan = load_scenario(scenario, [*overrides(settings, seed), *terminals_override(terminals)])
    within_s = parse_duration_ns(within) / 1e9
    require_sensible(within_s, plan)
    asked = _machine(host_memory, host_cores, is_used=backend is not None)
    costs = costs_from(model, backend or DEFAULT_BACKEND)
    with progress_bar(f"{plan.name}: {plan.fleet.terminals} terminals within {within_s:g} s") as progress:
        sizing = size_of(plan, within_s, costs, seeds, RunDisplay(progress))
    machine = {**host_facts(), **asked}
    hosts = None if backend is None else _hosts(plan, sizing, backend, machine, needed=model is None)
    result = {"scenario": plan.name, "terminals": plan.fleet.terminals, "within_s": within_s, **asdict(sizing)}
    write_json(json, result | ({} if hosts is None else {"hosts": {**asdict(hosts), "needed": hosts.needed}}))
    console = results_console(json)
    table = Table(title=f"{plan.fleet.terminals} terminals within {within_s:g} s", show_header=False)
    for name, value in _rows(sizing, plan.retrieval.list_size, known=costs.isp_exchange_ns > 0):
        table.add_row(name, value)
    if hosts is not None:
        table.add_row(f"hosts for {hosts.backend} guests", _hosts_text(hosts, machine))
    console.print(table)


def _machine(memory: str | None, cores: int | None, *, is_used: bool) -> dict[str, int]:
    """The facts in which the machines that are asked for are not as this one."""
    found = {} if cores is None else {"cores": cores}
    if memory is not None:
        found["memory_bytes"] = parse_size_bytes(memory)
    if found and not is_used:
        raise InputError(
            "--host-memory and --host-cores are of machines for a real run", expected="--backend beside them"
        )
    return found


def _hosts(
    scenario: Scenario, sizing: Sizing, backend: str, machine: dict[str, Any], *, needed: bool
) -> Hosts | None:
    """Machines for a real run of the fleet; None when nothing is known of such guests, InputError where `needed`."""
    models = kept_models(scenario, backend)
    if models is None and not needed:
        return None
    if models is None:
        raise InputError(
            f"what a run of this scenario takes on {backend} guests is not known here",
            hint=f"`hostemu plan {scenario.name} --backend {backend}`, with the same --set values, measures it",
        )
    used = sizing.chosen or sizing.best
    return hosts_for(size_of_run(scenario, used.attempts, used.time_s), models, backend, machine)


def _hosts_text(hosts: Hosts, machine: dict[str, Any]) -> str:
    size = f"{machine['cores']} cores and {machine['memory_bytes'] / 2**30:.0f} GiB"
    texts = [f"{what} {_count(count)}" for what, count in (("memory", hosts.by_memory), ("CPU", hosts.by_cpu))]
    needed = "no number is enough" if hosts.needed is None else f"{hosts.needed} of {size}"
    return f"{needed} (by {', by '.join(texts)}); {hosts.bottleneck} asks for most"


def _count(count: Count | None) -> str:
    if count is None:
        return "–"
    return f"{count.value} (95 %: {count.low} … {'?' if count.high is None else count.high})"


def _rows(sizing: Sizing, list_size: int, *, known: bool) -> Iterator[tuple[str, str]]:
    yield "quickest possible", f"{_time(sizing.best)}, all terminals in contact at once"
    yield "ISP server programs", f"{sizing.programs}, with lists of {list_size}"
    used = sizing.chosen
    if used is None:
        yield "answer", "[bold red]not possible[/]"
    else:
        yield "contacts at a time", f"{used.concurrency} per program, {used.concurrency * sizing.programs} together"
        yield "time", _time(used)
        yield "retrieved", f"{used.retrieved:.3%} at least"
    if known:
        yield "ISP servers", f"{sizing.isp_servers}, each core busy for at most {HEADROOM:.0%} of the time"
        yield "center", f"{sizing.center_share:.1%} of a core"
    else:
        yield "ISP servers", "not known without a --model that says what an exchange costs"
    yield "bottleneck", sizing.bottleneck


def _time(played: Played) -> str:
    spread = "" if played.interval is None else f" ± {played.interval.half_width:.1f}"
    return f"{played.time_s:.1f}{spread} s"
