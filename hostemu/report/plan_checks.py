"""What runs used, beside what was planned for them: one by one, and in the mean, since what one run uses scatters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from hostemu.measure.statistics import analyse
from hostemu.report.use import FIGURES, JSON, Used, errors, planned_value

ALIKE = ("scenario", "backend", "terminals", "time_scale")
"""What runs have in common that are compared in the mean."""

VALID = "valid"
_SHOWN = FIGURES[:4]
_FIGURES = tuple(f"{figure.title.removesuffix(' used')}, {figure.unit}" for figure in _SHOWN)


def checked(summaries: Iterable[JSON]) -> list[dict[str, Any]]:
    """Of every run that a plan was made for: planned and used values and the error, (planned − used) / used."""
    return [_checked(summary, off) for summary in summaries if (off := errors(summary))]


def _checked(summary: JSON, off: Mapping[str, float]) -> dict[str, Any]:
    figures = {
        name: {
            "planned": planned_value(summary["planned"], name),
            "used": summary["used"][name],
            "error": error,
        }
        for name, error in off.items()
    }
    attempts = {
        "planned": summary["planned"]["twin"]["attempts"],
        "used": round(summary["attempts"]["mean"] * summary["terminals"]),
    }
    models = f"{summary['planned']['origin']}: {summary['planned']['source']}"
    kept = {key: summary[key] for key in (*ALIKE, "seed", "verdict")}
    return {**kept, "figures": figures, "attempts": attempts, "models": models}


def means(checks: Iterable[JSON]) -> list[dict[str, Any]]:
    """Of valid runs that differ in their seeds alone, where there are two or more: planned and used means.

    half_width_95: of the used mean (Student), in its unit.  error: (planned − used) / used of the means.
    """
    groups: dict[tuple[Any, ...], list[JSON]] = {}
    for check in checks:
        if check["verdict"] == VALID:
            groups.setdefault(tuple(check[key] for key in ALIKE), []).append(check)
    return [_mean(group) for group in groups.values() if len(group) > 1]


def _mean(group: Sequence[JSON]) -> dict[str, Any]:
    shared = [name for name in group[0]["figures"] if all(name in check["figures"] for check in group)]
    figures = {name: _mean_figure([check["figures"][name] for check in group]) for name in shared}
    return {**{key: group[0][key] for key in ALIKE}, "runs": len(group), "figures": figures}


def _mean_figure(values: Sequence[JSON]) -> dict[str, float]:
    planned, used = (analyse([value[name] for value in values]) for name in ("planned", "used"))
    return {
        "planned": planned.mean,
        "used": used.mean,
        "half_width_95": math.inf if used.student is None else used.student.half_width,
        "error": (planned.mean - used.mean) / used.mean,
    }


@dataclass(frozen=True)
class _Sheet:
    """A table for terminals and documents."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]


def _sheets(checks: Sequence[JSON]) -> Iterator[_Sheet]:
    if groups := means(checks):
        headings = ("runs", "n", *_FIGURES)
        yield _Sheet("means of valid runs", headings, [_mean_cells(group) for group in groups], _MEAN_NOTES)
    headings = ("run", *_FIGURES, "attempts", "verdict")
    yield _Sheet("what was planned, and what was used", headings, [_cells(check) for check in checks], _notes(checks))


_MEAN_NOTES = ("planned / used ± half of the 95 % interval of the mean (error)",)


def _mean_cells(group: JSON) -> list[str]:
    cells = (_mean_cell(figure, group["figures"].get(figure.name)) for figure in _SHOWN)
    return [_name(group), str(group["runs"]), *cells]


def _mean_cell(figure: Used, values: JSON | None) -> str:
    if values is None:
        return "–"
    planned, used, half = (figure.number(values[name]) for name in ("planned", "used", "half_width_95"))
    return f"{planned} / {used} ± {half} ({values['error']:+.1%})"


def _cells(check: JSON) -> list[str]:
    cells = (_cell(figure, check["figures"].get(figure.name)) for figure in _SHOWN)
    attempts = f"{check['attempts']['planned']:,} / {check['attempts']['used']:,}"
    return [f"{_name(check)}, seed {check['seed']}", *cells, attempts, _verdict(check)]


def _name(runs: JSON) -> str:
    return f"{runs['scenario']}, {runs['terminals']} on {runs['backend']}, 1:{runs['time_scale']:g}"


def _verdict(check: JSON) -> str:
    return VALID if check["verdict"] == VALID else "INVALID"


def _cell(figure: Used, values: JSON | None) -> str:
    if values is None:
        return "–"
    return f"{figure.number(values['planned'])} / {figure.number(values['used'])} ({values['error']:+.1%})"


def _notes(checks: Sequence[JSON]) -> list[str]:
    reasons = dict.fromkeys(reason for check in checks if check["verdict"] != VALID for reason in check["verdict"])
    models = dict.fromkeys(f"{check['backend']}: {check['models']}" for check in checks)
    return ["planned / used (error)", *models, *(f"INVALID: {reason}" for reason in reasons)]


def checks_as_tables(checks: Sequence[JSON]) -> Iterator[Table]:
    """For a terminal: the means, where several runs have one, and the runs."""
    for sheet in _sheets(checks):
        table = Table(*sheet.headings, title=sheet.title, caption="\n".join(sheet.notes), caption_justify="left")
        for row in sheet.rows:
            table.add_row(*row)
        yield table


def checks_as_markdown(checks: Sequence[JSON]) -> str:
    """The same for a document."""
    return "\n\n".join(_markdown(sheet) for sheet in _sheets(checks))


def _markdown(sheet: _Sheet) -> str:
    lines = [f"## {sheet.title[:1].upper()}{sheet.title[1:]}", "", "| " + " | ".join(sheet.headings) + " |"]
    lines += ["|---|" + "---:|" * (len(sheet.headings) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in sheet.rows]
    return "\n".join([*lines, "", *(f"- {note}" for note in sheet.notes)])
