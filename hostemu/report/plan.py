"""A plan for people: what a run will need, of what, and where each number comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from hostemu.report.use import FIGURES

JSON = Mapping[str, Any]
MIB = 2**20
PARTS = {
    "runner": "hostemu, emulator, this kernel",
    "center": "center",
    "isp": "ISP server programs",
    "guests": "terminal guests",
}


def as_tables(plan: JSON) -> Iterator[Table]:
    """The forecast, if there is one; its parts; limits that are hit."""
    title = f"{plan['scenario']}: {plan['terminals']} terminals on {plan['guests']} {plan['backend']} guests"
    if "memory_bytes" in plan:
        yield _needs(plan, title)
        yield _parts(plan)
    if plan.get("twin", {}).get("work_cpu_s"):
        yield _by_costs(plan)
    yield _limits(plan, title)


def _needs(plan: JSON, title: str) -> Table:
    table = Table("", "needed", "from … to", "by", title=title, title_justify="left")
    for figure in FIGURES:
        found = plan[figure.name]
        if not isinstance(found, Mapping):
            table.add_row(f"run, {figure.unit}", figure.number(found), "", f"the twin ({plan['twin']['engine']})")
            continue
        low, high = found["low"], found["high"]
        spread = "?" if high is None else f"{figure.number(low)} … {figure.number(high)}"
        by = "models" + (", extrapolated" if found["is_extrapolated"] else "")
        title = f"{figure.title.removesuffix(' used')}, {figure.unit}"
        table.add_row(title, figure.number(found["value"]), spread, by)
    table.add_row(f"share of {plan['cores']} cores", f"{plan['mean_share']:.0%}", "", "CPU time over the twin's time")
    table.add_row("at its busiest", f"{plan['peak_share']:.0%}", "", "the twin")
    table.add_row("attempts", f"{plan['size']['attempts']:,.0f}", "", "the twin")
    table.caption = escape(f"models: {plan['origin']}: {plan['source']}; 95 % intervals")
    table.caption_justify = "left"
    return table


def _parts(plan: JSON) -> Table:
    """Memory, and CPU time in core-seconds, by part; standing: what passes with time, whatever is done in it."""
    table = Table("part", "memory, MiB", "start-up, core-s", "standing, core-s", "work, core-s")
    for name, title in PARTS.items():
        memory = _sum(plan, name, "memory_bytes")
        times = (
            _sum(plan, name, "start_cpu_s"),
            _sum(plan, name, "standing_cpu_share", "watch_cpu_share"),
            _sum(plan, name, "work_cpu_share"),
        )
        table.add_row(title, f"{memory / MIB:.1f}", *(f"{value:.2f}" if value else "" for value in times))
    return table


def _sum(plan: JSON, part: str, *kinds: str) -> float:
    """Of a part; 0 of what it does not have."""
    found = (plan["parts"].get(f"{part}_{kind}") for kind in kinds)
    return float(sum(amount["value"] for amount in found if amount is not None))


def _by_costs(plan: JSON) -> Table:
    """The work of programs and emulator, by the costs of a file: without what starting and standing take."""
    work = plan["twin"]["work_cpu_s"]
    table = Table("part", "work, core-seconds", title="by the costs of single actions", title_justify="left")
    for name, value in work.items():
        table.add_row(PARTS[name], f"{value:.2f}")
    table.add_row("all of it", f"{sum(work.values()):.2f}")
    return table


def _limits(plan: JSON, title: str) -> Table:
    """What the kernel allows; only what matters: what is hit, or comes nearest."""
    table = Table("limit", "of", "here", "needed", title=f"limits, {title}", title_justify="left")
    for limit in plan["limits"]:
        if limit["current"] is None or limit["only_if"]:
            continue
        mark = "" if limit["ok"] else " [red]too little[/]"
        table.add_row(escape(limit["name"]), limit["what"], _shown(limit, "current"), _shown(limit, "needed") + mark)
    return table


def _shown(limit: JSON, key: str) -> str:
    return f"{limit[key] / 2**30:.2f} GiB" if limit["unit"] == "bytes" else str(limit[key])
