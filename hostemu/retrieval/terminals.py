"""The farm program: many terminals, each with an address and a power cycle of its own, in one event loop."""

from __future__ import annotations

import sys
from functools import partial
from ipaddress import ip_address
from time import monotonic_ns
from types import TracebackType

from hostemu.base.errors import RunError
from hostemu.protocol.auth import SCHEMES, Credentials, derive_key
from hostemu.protocol.power import PowerCycle
from hostemu.retrieval.config import FarmConfig, Transport, WhenOff
from hostemu.retrieval.console import Fields
from hostemu.retrieval.control import Emit, run_program
from hostemu.retrieval.reactor import Reactor
from hostemu.retrieval.sockets import require_files
from hostemu.retrieval.terminal import FarmState, Identity, Terminal, information_of
from hostemu.retrieval.terminal_calls import CallingTerminal
from hostemu.retrieval.terminal_tcp import TcpTerminal
from hostemu.retrieval.terminal_udp import UdpTerminal

SPARE_FILES = 200
"""Descriptors for connections, beside one for each terminal."""


class Farm:
    """All terminals of the program.  Until the run starts they stay in the state of time 0."""

    def __init__(self, config: FarmConfig, reactor: Reactor) -> None:
        self.power_switches = 0
        self._config = config
        self._reactor = reactor
        self._start_ns = 0
        self._state = FarmState(
            reactor=reactor,
            scheme=SCHEMES[config.authentication.value],
            port=config.port,
            is_silent_when_off=config.when_off is WhenOff.SILENT,
            peer_timeout_ns=config.peer_timeout_ns,
            home=config.home,
        )
        self._terminals: list[Terminal] = []

    def __enter__(self) -> Farm:
        count = self._config.count
        require_files(count + SPARE_FILES, f"{count} terminals in one program", "put fewer terminals into a guest")
        self._state.reserve_fd()
        try:
            self._make_terminals()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all terminals' sockets."""
        for terminal in self._terminals:
            terminal.close()
        self._terminals.clear()
        self._state.release_fd()

    def ready(self) -> Fields:
        """All terminals are bound."""
        return {"terminals": len(self._terminals), "port": self._config.port}

    def start(self, at_ns: int) -> None:
        """Time 0 of all power cycles."""
        self._start_ns = at_ns
        for terminal in self._terminals:
            self._await_change(terminal)
        self._sweep()

    def counters(self) -> Fields:
        """What the terminals have done so far."""
        state = self._state
        return {
            "served": state.served,
            "connections": state.connections,
            "calls": state.calls,
            "calls_by_reason": {reason.name: count for reason, count in sorted(state.calls_by_reason.items())},
            "refusals": {reason.name: count for reason, count in sorted(state.refusals.items())},
            "power_switches": self.power_switches,
            "terminals_on": sum(terminal.is_on for terminal in self._terminals),
        }

    def stopping(self) -> None:
        """Nothing is left to be done."""

    def _make_terminals(self) -> None:
        config = self._config
        first_address = ip_address(config.first_address)
        make = _kind_of_terminal(config)
        for offset in range(config.count):
            index = config.first_index + offset
            power = PowerCycle(config.power, config.seed, index)
            device_id = config.first_device_id + offset
            credentials = Credentials(
                device_id,
                shared_key=derive_key(config.shared_secret, "shared", device_id),
                own_key=derive_key(config.own_secret, "own", device_id),
            )
            information = information_of(device_id, config.information_bytes)
            identity = Identity(index, str(first_address + offset), credentials, information)
            terminal = make(self._state, identity, power)
            self._terminals.append(terminal)
            self._switch(terminal, power.is_on)

    def _switch(self, terminal: Terminal, is_on: bool) -> None:
        try:
            terminal.switch(is_on)
        except OSError as error:
            raise RunError(
                f"terminal at {terminal.address} port {self._config.port} cannot listen",
                expected="an address of this host, free on that port",
                found=error.strerror or str(error),
                hint="route the terminals' prefix to this host: ip route add local PREFIX dev lo",
            ) from error

    def _await_change(self, terminal: Terminal) -> None:
        due_ns = self._start_ns + terminal.power.next_change_ns
        self._reactor.call_at(due_ns, partial(self._change, terminal))

    def _change(self, terminal: Terminal) -> None:
        is_on = terminal.power.advance(monotonic_ns() - self._start_ns)
        if is_on != terminal.is_on:
            self.power_switches += 1
            self._switch(terminal, is_on)
        self._await_change(terminal)

    def _sweep(self) -> None:
        now_ns = monotonic_ns()
        for terminal in self._terminals:
            terminal.expire(now_ns)
        self._reactor.call_at(now_ns + self._config.peer_timeout_ns // 2 + 1, self._sweep)


def _kind_of_terminal(config: FarmConfig) -> type[Terminal]:
    if config.home is not None:
        return CallingTerminal
    return TcpTerminal if config.transport is Transport.TCP else UdpTerminal


def make_farm(text: str, file: str, reactor: Reactor, emit: Emit) -> Farm:
    """The farm that a configuration asks for."""
    return Farm(FarmConfig.from_json(text, file), reactor)


if __name__ == "__main__":
    sys.exit(run_program("A farm of terminals, driven by JSON lines.", make_farm))
