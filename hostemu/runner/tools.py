"""The programs that backends, guests and campaigns need, and where they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hostemu.base.packages import how_to_install, location, missing, packages_for
from hostemu.guests.toolchain import COMPILERS


@dataclass(frozen=True)
class Tool:
    """Programs for one purpose.  needs: commands or files; with `any_of` one of them is enough, the first is best."""

    name: str
    purpose: str
    needs: tuple[str, ...]
    any_of: bool = False

    def found(self) -> tuple[str, list[str]]:
        """Where they are, and which are missing."""
        lacking = missing(self.needs)
        there = [path for need in self.needs if (path := location(need)) is not None]
        if self.any_of:
            return (there[0], []) if there else ("", [self.needs[0]])
        return ", ".join(there if len(self.needs) == 1 else self.needs), lacking


def _command(name: str, purpose: str) -> Tool:
    return Tool(name, purpose, (name,))


TOOLS = (
    _command("linux.uml", "uml guests with the distribution's kernel"),
    _command("qemu-system-x86_64", "qemu and kvm guests"),
    _command("busybox", "commands in guests that are machines"),
    Tool("C compiler", "programs in guests that are machines", COMPILERS, any_of=True),
    Tool("kernel tools", "making lean kernels", ("make", "gcc", "flex", "bison", "bc", "m4", "perl", "xz")),
    Tool("switch daemon", "guests joined by UML's switch", ("vde_switch", "uml_switch"), any_of=True),
    _command("iperf", "campaign: throughput"),
    _command("tbench", "campaign: throughput"),
    _command("iperf3", "benchmarks, some tests"),
    _command("curl", "the workload www"),
    _command("ip", "some tests"),
)


def install_hint(needs: Iterable[str]) -> str:
    """The command that installs what brings these."""
    return how_to_install(packages_for(needs))
