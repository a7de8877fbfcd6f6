"""Events as one line of text, so that expected-outcome tables can be read."""

from __future__ import annotations

from collections.abc import Sequence

from hostemu.protocol.events import Event, Failed, Finished, Refused, Send, Stored
from hostemu.protocol.reasons import Outcome
from hostemu.protocol.wire import Refusal


def narrate(events: Sequence[Event]) -> str:
    """What a state machine did, e.g. "Refusal REPLAY, refused REPLAY"; "" when it did nothing."""
    return ", ".join(map(_narrate, events))


def _narrate(event: Event) -> str:
    match event:
        case Send(Refusal(reason)):
            return f"Refusal {reason.name}"
        case Send(message):
            return type(message).__name__
        case Refused(reason) | Failed(reason, _):
            return f"{type(event).__name__.lower()} {reason.name}"
        case Stored(report, _) if report.outcome is Outcome.RETRIEVED:
            return f"stored {report.device_id}"
        case Stored(report, _):
            return f"lost {report.device_id} {report.reason.name}"
        case Finished():
            return "finished"
        case _:
            return type(event).__name__.lower()
