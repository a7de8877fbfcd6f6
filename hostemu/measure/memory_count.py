"""How much memory processes take, with what they share counted once.

Per address space (processes made by CLONE_VM share one; kcmp(2) tells): private pages, the proportional share of
files' pages, page tables, what is swapped out.  Files on tmpfs are memory themselves: each is counted once, by the
space that it has allocated, however many address spaces map it and however little of it they have touched.  Huge
pages of hugetlbfs are not counted.  Sources: proc_pid_smaps(5), proc_pid_status(5), tmpfs(5).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeAlias

from hostemu.base.errors import HostError
from hostemu.guests.processes import number_here
from hostemu.lab.kernel import same_memory

PROC = Path("/proc")
_BLOCK_BYTES = 512  # of st_blocks, inode(7)
_MAPPING = re.compile(r"[0-9a-f]+-[0-9a-f]+ \S+ [0-9a-f]+ ([0-9a-f]+):([0-9a-f]+) (\d+)\s*(.*)")
_SHARED_MEMORY = ("/memfd:", "/dev/zero", "/SYSV")
"""Mappings of the kernel's own tmpfs, which is mounted nowhere."""

File: TypeAlias = tuple[int, int]
"""Device and inode."""


@dataclass(frozen=True)
class Counted:
    """Memory of one or more guests, in bytes.

    shared: the proportional share of pages that others map, too.  tmpfs: files that are memory.
    unsure: processes that may share an address space with another, which this kernel does not tell.
    """

    private: int = 0
    shared: int = 0
    tmpfs: int = 0
    page_tables: int = 0
    swapped: int = 0
    address_spaces: int = 0
    processes: int = 0
    unsure: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return self.private + self.shared + self.tmpfs + self.page_tables + self.swapped

    def __add__(self, other: Counted) -> Counted:
        return Counted(*(getattr(self, item.name) + getattr(other, item.name) for item in fields(self)))


@dataclass(frozen=True)
class Mapped:
    """What one address space maps: private and proportionally shared bytes, and bytes of files on tmpfs."""

    private: int
    shared: int
    swapped: int
    tmpfs: dict[File, int]


class Counter:
    """Counts guests one after the other; a file that several of them hold is counted with the first."""

    def __init__(self, proc: Path = PROC) -> None:
        self.total = Counted()
        self._proc = proc
        self._files: set[File] = set()
        self._devices = tmpfs_devices((proc / "self/mountinfo").read_text())

    def add(self, pids: Iterable[int]) -> Counted:
        """Count one guest's processes (numbers in /proc); those that end meanwhile are left out."""
        alive = list(dict.fromkeys(pids))
        spaces, unsure = self._address_spaces(alive)
        found = Counted(address_spaces=len(spaces), processes=len(alive), unsure=unsure)
        mapped: dict[File, int] = {}
        for pid in spaces:
            with _vanishing():
                space = parse_smaps((self._proc / str(pid) / "smaps").read_text(), self._devices)
                tables = page_table_bytes((self._proc / str(pid) / "status").read_text())
                found += Counted(space.private, space.shared, 0, tables, space.swapped)
                for file, size in space.tmpfs.items():
                    mapped[file] = mapped.get(file, 0) + size
        found += Counted(tmpfs=self._files_bytes(alive, mapped))
        self.total += found
        return found

    def _address_spaces(self, pids: list[int]) -> tuple[list[int], int]:
        """One process of each address space, and how many could not be told apart."""
        firsts: list[int] = []
        unsure = 0
        for pid in pids:
            try:
                if any(same_memory(number_here(pid), number_here(other)) for other in firsts):
                    continue
            except OSError:
                unsure += (self._proc / str(pid)).exists()
            firsts.append(pid)
        return firsts, unsure

    def _files_bytes(self, pids: list[int], mapped: dict[File, int]) -> int:
        """Files on tmpfs that were not counted yet: held ones by their space, others by what is mapped of them."""
        held = {file: size for pid in pids for file, size in self._held(pid)}
        sizes = {**mapped, **held}
        new = sizes.keys() - self._files
        self._files |= held.keys()  # what is mapped only is counted in shares
        return sum(sizes[file] for file in new)

    def _held(self, pid: int) -> Iterator[tuple[File, int]]:
        """Files on tmpfs that a process has open, and the space that they take."""
        with _vanishing():
            for entry in (self._proc / str(pid) / "fd").iterdir():
                with _vanishing():
                    state = entry.stat()
                    if stat.S_ISREG(state.st_mode) and (
                        state.st_dev in self._devices or str(entry.readlink()).startswith(_SHARED_MEMORY)
                    ):
                        yield (state.st_dev, state.st_ino), state.st_blocks * _BLOCK_BYTES


@contextmanager
def _vanishing() -> Iterator[None]:
    """Leave out a process or file that is gone; HostError for one that may not be looked into."""
    try:
        yield
    except (FileNotFoundError, ProcessLookupError):
        return
    except PermissionError as error:
        raise HostError(
            "the memory of a guest's processes cannot be counted", found=str(error), hint="run as root"
        ) from error


def tmpfs_devices(mountinfo: str) -> frozenset[int]:
    """The devices of all mounted tmpfs; see proc_pid_mountinfo(5)."""
    found = set()
    for line in mountinfo.splitlines():
        words = line.split()
        if words[words.index("-") + 1] in ("tmpfs", "devtmpfs"):
            major, _, minor = words[2].partition(":")
            found.add(os.makedev(int(major), int(minor)))
    return frozenset(found)


def parse_smaps(text: str, devices: frozenset[int]) -> Mapped:
    """What a process maps, from its smaps; devices: those of tmpfs."""
    private = shared = swapped = 0
    tmpfs: dict[File, int] = {}
    for file, values in _mappings(text, devices):
        own = values.get("Private_Clean", 0) + values.get("Private_Dirty", 0)
        proportional = values.get("Pss", 0)
        swapped += values.get("SwapPss", 0)
        if file is None:
            private += own
            shared += proportional - own
        else:
            copied = min(values.get("Anonymous", 0), proportional)  # written to in a private mapping
            private += copied
            tmpfs[file] = tmpfs.get(file, 0) + proportional - copied
    return Mapped(private, shared, swapped, tmpfs)


def _mappings(text: str, devices: frozenset[int]) -> Iterator[tuple[File | None, dict[str, int]]]:
    """Every mapping's file, if that is on tmpfs, and its values in bytes."""
    file: File | None = None
    values: dict[str, int] | None = None
    for line in text.splitlines():
        header = _MAPPING.fullmatch(line)
        if header:
            if values is not None:
                yield file, values
            device = os.makedev(int(header[1], 16), int(header[2], 16))
            is_memory = device in devices or header[4].startswith(_SHARED_MEMORY)
            file, values = ((device, int(header[3])) if is_memory else None), {}
        elif values is not None and line.endswith(" kB"):
            name, _, amount = line.removesuffix(" kB").partition(":")
            values[name] = int(amount) * 1024
    if values is not None:
        yield file, values


def page_table_bytes(status: str) -> int:
    """The size of a process' page tables, from its status."""
    return sum(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmPTE:"))


KERNEL_FIELDS = ("SUnreclaim", "VmallocUsed", "Percpu")
"""What a kernel has allocated for itself, sockets among it, and cannot give back; older ones tell the first only."""


def available_bytes(proc: Path = PROC) -> int:
    """What the machine could still give without swapping; see proc_meminfo(5)."""
    return _meminfo_bytes(proc, "MemAvailable")["MemAvailable"]


def kernel_bytes(proc: Path = PROC) -> int:
    """What this kernel has allocated for itself and cannot give back; see proc_meminfo(5)."""
    found = _meminfo_bytes(proc, KERNEL_FIELDS[0])
    return sum(found.get(name, 0) for name in KERNEL_FIELDS)


def _meminfo_bytes(proc: Path, needed: str) -> dict[str, int]:
    """The fields in kB, as bytes; HostError without the one that is needed."""
    rows = (line.partition(":") for line in (proc / "meminfo").read_text().splitlines())
    found = {name: int(value.split()[0]) * 1024 for name, _, value in rows if value.endswith(" kB")}
    if needed not in found:
        raise HostError("this kernel does not tell its use of memory", expected=f"{needed} in /proc/meminfo")
    return found
