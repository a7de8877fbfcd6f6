"""What the state machines tell their drivers to do."""

from __future__ import annotations

from dataclasses import dataclass

from hostemu.protocol.reasons import Reason
from hostemu.protocol.wire import Message, Report


@dataclass(frozen=True)
class Send:
    """Transmit this message to the peer."""

    message: Message


@dataclass(frozen=True)
class Served:
    """Terminal: the information was handed over."""


@dataclass(frozen=True)
class Delivered:
    """Terminal: the ISP server has said that it has the information."""


@dataclass(frozen=True)
class Refused:
    """Terminal or ISP server: the peer's doing was refused; close once everything is sent."""

    reason: Reason


@dataclass(frozen=True)
class Retrieved:
    """ISP server: the exchange succeeded.  elapsed_ns: since the attempt began."""

    isp_nonce: bytes
    sealed: bytes
    elapsed_ns: int


@dataclass(frozen=True)
class Failed:
    """Whoever began the attempt, or takes a call: it failed.  elapsed_ns: since the attempt began."""

    reason: Reason
    elapsed_ns: int


@dataclass(frozen=True)
class Begin:
    """ISP server: the list is complete; start to retrieve."""


@dataclass(frozen=True)
class Stored:
    """Center: this terminal is accounted for.  at_ns: since the command was given, 0 when it never was."""

    report: Report
    at_ns: int


@dataclass(frozen=True)
class Finished:
    """Center: the list of this ISP server program is done."""


Event = Send | Served | Delivered | Refused | Retrieved | Failed | Begin | Stored | Finished
