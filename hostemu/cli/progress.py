"""Shows the events of a run as progress bars."""

from __future__ import annotations

from typing import Any

from rich.progress import Progress, TaskID

CHOICES = ("backend", "engine")
"""Phases that are a choice and no work: their note is to be read, not their bar."""

PHASES = {
    "guests": "starting guests",
    "emulator": "preparing the emulator",
    "programs": "starting programs",
    "run": "terminals accounted for",
    "campaign": "measurements",
    "sweep": "runs",
    "measure": "runs in small",
    "size": "concurrencies tried",
    "validation": "real runs",
    "prediction": "simulated runs",
}


class RunDisplay:
    """Takes events {"phase", "done", "total", "note"?} of a run and moves one bar per phase."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, event: dict[str, Any]) -> None:
        phase, total = event["phase"], event["total"]
        if phase in CHOICES:
            self._progress.console.print(f"{phase} {event['note']}", highlight=False, markup=False, soft_wrap=True)
            return
        if phase not in self._tasks:
            self._tasks[phase] = self._progress.add_task(PHASES.get(phase, phase), total=total, note="")
        self._progress.update(self._tasks[phase], completed=event["done"], total=total, note=event.get("note", ""))


class CampaignDisplay(RunDisplay):
    """Shows a campaign: its bar, and lines {"line": …} that stay on the screen.

    Where there is no terminal, each further measurement is a line.
    """

    def __init__(self, progress: Progress) -> None:
        super().__init__(progress)
        self._console = progress.console
        self._last_done = -1

    def __call__(self, event: dict[str, Any]) -> None:
        if "line" in event:
            self._print(event["line"])
            return
        super().__call__(event)
        if not self._console.is_terminal and event["done"] != self._last_done:
            self._last_done = event["done"]
            self._print(f"{event['done']} of {event['total']} measured · {event['note']}")

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)
