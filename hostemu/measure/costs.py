"""What the programs' actions cost in CPU time: figures that a campaign measures and the simulator uses.

A cost file is TOML:

    schema = 1
    kind = "costs"
    source = "measured here"
    cores = 2
    router_queue_frames = 1000   # may be left out, as nic_queue_frames: no limit
    [cost_ns]                # a figure per action; those of OPTIONAL may be left out
    [samples]                # runs behind each figure
    [spread_ns]              # largest minus smallest of these runs
    [extras]                 # further numbers, for people
    [provenance]             # command, measured_at
    [provenance.host]        # host facts
"""

from __future__ import annotations

import math
import os
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hostemu.base.errors import InputError, RecordError

SCHEMA = 1
KIND = "costs"
FIGURES = ("isp_refused", "isp_exchange", "terminal_exchange", "center_report", "router_frame")
PARTS = ("authentication", "authentication_xor", "connection")
"""Parts of an exchange, which the figures of whole actions hold already: for people, and for what-ifs."""

ENTRIES = ("guest_call", "guest_fault")
"""Figures of guests in virtual time; the simulator knows nothing of how their programs enter the kernel."""

OPTIONAL = ("terminal_refused", "guest_frame", "guest_kib", *ENTRIES, *PARTS)
"""Figures that not every file has: of network namespaces, what a guest's kernel does is in what the router costs."""

QUEUES = ("router_queue_frames", "nic_queue_frames")
"""Limits of what waits for a CPU."""

MAXIMUM_COST_NS = 10**12
MAXIMUM_QUEUE_FRAMES = 10**9
MAXIMUM_CORES = 4096

Fact = str | int | float | bool

_TOP = {
    "schema",
    "kind",
    "source",
    "cores",
    *QUEUES,
    "cost_ns",
    "samples",
    "spread_ns",
    "extras",
    "provenance",
}


def _check_integer(key: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"{key} is wrong", expected=f"an integer from {low} to {high}", found=repr(value))
    return value


@dataclass(frozen=True)
class Provenance:
    """Where figures come from.

    samples, spread_ns: per figure: number of runs, and largest minus smallest of them.
    """

    command: str
    measured_at: str
    host: Mapping[str, Fact] = field(default_factory=dict)
    samples: Mapping[str, int] = field(default_factory=dict)
    spread_ns: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Charge:
    """What computation takes the CPU of a guest in virtual time; all else is free.

    of: what is as slow, for people: guests of a backend, or a file.
    frame_ns, kib_ns: each frame that passes its NIC either way, and each 1024 bytes of it.
    call_ns, fault_ns: each time that a program enters its kernel, by a system call, by a page fault.
    """

    frame_ns: int = 0
    kib_ns: int = 0
    call_ns: int = 0
    fault_ns: int = 0
    of: str = ""

    @property
    def is_free(self) -> bool:
        """Whether computation takes no time at all."""
        return not (self.frame_ns or self.kib_ns or self.call_ns or self.fault_ns)


FREE = Charge()


@dataclass(frozen=True)
class Costs:
    """CPU time per action, of one core of the host that was measured.

    isp_refused_ns: ISP server program, an attempt that is refused.
    isp_exchange_ns: ISP server program, an attempt that succeeds, the report to the center included.
    terminal_exchange_ns: terminal program, one exchange; of a guest with a kernel of its own the whole guest.
    center_report_ns: center program, one report taken in and stored; or the whole guest, as above.
    router_frame_ns: network emulator, one frame forwarded.
    cores: cores that all programs share.
    terminal_refused_ns: guest of terminals, its kernel's refusal of a connection to a terminal that is off.
    authentication_ns, authentication_xor_ns: what all sides of one exchange compute for HMAC-SHA256, or for XOR.
    connection_ns: one TCP connection opened, taken and closed, both sides together.
    router_queue_frames: frames that can wait for the router; one more is dropped.  0: no limit.
    guest_frame_ns, guest_kib_ns: guests of terminals and of the center, for every frame that passes their NIC either
        way, and for every 1024 bytes of it: of their kernel and virtualiser.  What is in terminal_exchange_ns and
        center_report_ns already is not to be in these, too.
    guest_call_ns, guest_fault_ns: a guest, each time that a program enters its kernel by a call, by a page fault.
    nic_queue_frames: frames that can wait at a NIC for such a guest's CPU; one more is dropped.  0: no limit.
    Raises InputError for values that are no costs.
    """

    isp_refused_ns: int = 0
    isp_exchange_ns: int = 0
    terminal_exchange_ns: int = 0
    center_report_ns: int = 0
    router_frame_ns: int = 0
    cores: int = 1
    terminal_refused_ns: int = 0
    authentication_ns: int = 0
    authentication_xor_ns: int = 0
    connection_ns: int = 0
    router_queue_frames: int = 0
    guest_frame_ns: int = 0
    guest_kib_ns: int = 0
    guest_call_ns: int = 0
    guest_fault_ns: int = 0
    nic_queue_frames: int = 0
    source: str = "none: computation takes no time"
    extras: Mapping[str, Fact] = field(default_factory=dict)
    provenance: Provenance | None = None

    def __post_init__(self) -> None:
        for name in (*FIGURES, *OPTIONAL):
            _check_integer(f"cost_ns.{name}", getattr(self, f"{name}_ns"), 0, MAXIMUM_COST_NS)
        _check_integer("cores", self.cores, 1, MAXIMUM_CORES)
        for name in QUEUES:
            _check_integer(name, getattr(self, name), 0, MAXIMUM_QUEUE_FRAMES)
        if 0 < self.isp_exchange_ns < self.isp_refused_ns:
            raise InputError(
                "cost_ns.isp_exchange is less than cost_ns.isp_refused",
                expected="an attempt that succeeds costs at least what a refused one does",
                found=f"{self.isp_exchange_ns} < {self.isp_refused_ns}",
            )

    @property
    def is_free(self) -> bool:
        """Whether computation takes no time at all in the simulator."""
        return not any(value for name, value in self.figures_ns().items() if name not in (*ENTRIES, *PARTS))

    @property
    def charge(self) -> Charge:
        """What guests in virtual time are charged."""
        return Charge(self.guest_frame_ns, self.guest_kib_ns, self.guest_call_ns, self.guest_fault_ns)

    def figures_ns(self) -> dict[str, int]:
        """Every figure by its name in the file; optional ones that are nothing left out."""
        optional = [name for name in OPTIONAL if getattr(self, f"{name}_ns")]
        return {name: getattr(self, f"{name}_ns") for name in (*FIGURES, *optional)}

    def figures(self) -> dict[str, int]:
        """Everything that makes a run what it is; limits that there are not left out."""
        limits = {name: getattr(self, name) for name in QUEUES if getattr(self, name)}
        return {**self.figures_ns(), "cores": self.cores, **limits}


NO_COSTS = Costs()


def load_costs(path: Path | str) -> Costs:
    """The costs in a file; InputError naming file and key when it holds none."""
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"cannot read cost file {path}: {error.strerror}", hint="make one with `hostemu calibrate costs`"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"cost file {path} is not TOML", found=str(error)) from error
    try:
        return _parse(values)
    except InputError as error:
        raise InputError(
            f"cost file {path}: {error.message}", expected=error.expected, found=error.found, hint=error.hint
        ) from error


def save_costs(costs: Costs, path: Path | str) -> None:
    """Write the costs to a file, in one step; RecordError when that is impossible."""
    path = Path(path)
    temporary = None
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, suffix=".tmp", delete=False) as file:
            temporary = Path(file.name)
            file.write(_to_toml(costs))
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise RecordError(f"cannot write cost file {path}: {error.strerror}") from error


def _check_text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"{key} is wrong", expected="a text", found=repr(value))
    return value


def _check_keys(where: str, found: Mapping[str, Any], known: set[str], required: set[str]) -> None:
    unknown, missing = sorted(found.keys() - known), sorted(required - found.keys())
    if unknown or missing:
        raise InputError(
            f"wrong keys in {where}",
            expected=", ".join(sorted(known)),
            found="; ".join([*(f"unknown: {key}" for key in unknown), *(f"missing: {key}" for key in missing)]),
        )


def _table(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    table = values.get(key, {})
    if not isinstance(table, dict):
        raise InputError(f"{key} is wrong", expected="a table", found=repr(table))
    return table


def _facts(values: Mapping[str, Any], key: str) -> dict[str, Fact]:
    facts = dict(_table(values, key))
    for name, value in facts.items():
        if not isinstance(value, (str, int, float, bool)):
            raise InputError(f"{key}.{name} is wrong", expected="a text, number or truth value", found=repr(value))
    return facts


def _numbers(values: Mapping[str, Any], key: str, low: int) -> dict[str, int]:
    table = _table(values, key)
    _check_keys(key, table, {*FIGURES, *OPTIONAL}, set())
    return {name: _check_integer(f"{key}.{name}", value, low, MAXIMUM_COST_NS) for name, value in table.items()}


def _parse(values: Mapping[str, Any]) -> Costs:
    if values.get("schema") != SCHEMA or values.get("kind") != KIND:
        raise InputError(
            "not a cost file of a version that is understood",
            expected=f'schema = {SCHEMA}, kind = "{KIND}"',
            found=f"schema = {values.get('schema')!r}, kind = {values.get('kind')!r}",
        )
    _check_keys("the file", values, _TOP, {"source", "cores", "cost_ns"})
    figures = _table(values, "cost_ns")
    _check_keys("cost_ns", figures, {*FIGURES, *OPTIONAL}, set(FIGURES))
    return Costs(
        **{f"{name}_ns": value for name, value in figures.items()},
        cores=values["cores"],
        **{name: values.get(name, 0) for name in QUEUES},
        source=_check_text("source", values["source"]),
        extras=_facts(values, "extras"),
        provenance=_parse_provenance(values) if "provenance" in values else None,
    )


def _parse_provenance(values: Mapping[str, Any]) -> Provenance:
    table = _table(values, "provenance")
    _check_keys("provenance", table, {"command", "measured_at", "host"}, {"command", "measured_at"})
    return Provenance(
        command=_check_text("provenance.command", table["command"]),
        measured_at=_check_text("provenance.measured_at", table["measured_at"]),
        host=_facts(table, "host"),
        samples=_numbers(values, "samples", 1),
        spread_ns=_numbers(values, "spread_ns", 0),
    )


def _quoted(text: str) -> str:
    """A TOML basic string (TOML 1.0, "String")."""
    escapes = {'"': '\\"', "\\": "\\\\"}
    return '"' + "".join(escapes.get(c, c if c.isprintable() else f"\\U{ord(c):08x}") for c in text) + '"'


def _literal(value: Fact) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    return str(value)


def _section(name: str, values: Mapping[str, Fact]) -> list[str]:
    return ["", f"[{name}]", *(f"{_quoted(key)} = {_literal(value)}" for key, value in values.items())]


def _to_toml(costs: Costs) -> str:
    lines = [f"schema = {SCHEMA}", f'kind = "{KIND}"', f"source = {_quoted(costs.source)}", f"cores = {costs.cores}"]
    lines += [f"{name} = {getattr(costs, name)}" for name in QUEUES if getattr(costs, name)]
    lines += _section("cost_ns", costs.figures_ns())
    lines += _section("extras", costs.extras) if costs.extras else []
    origin = costs.provenance
    if origin is not None:
        lines += _section("samples", origin.samples)
        lines += _section("spread_ns", origin.spread_ns)
        lines += _section("provenance", {"command": origin.command, "measured_at": origin.measured_at})
        lines += _section("provenance.host", origin.host)
    return "\n".join(lines) + "\n"
