"""The lab's own /proc, /sys and /dev/shm."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from hostemu.lab import kernel

SHARED_MEMORY = Path("/dev/shm")
_HARMLESS = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC


def mount_own() -> None:
    """Mount what the kernel lets this user mount; the host's stays visible in place of the rest.

    A container may forbid it all, and mostly does where parts of its own /proc or /sys are covered.
    """
    with suppress(OSError):
        kernel.mount("proc", "/proc", "proc", _HARMLESS)
    with suppress(OSError):
        kernel.mount("sysfs", "/sys", "sysfs", _HARMLESS)
    with suppress(OSError):
        _mount_shared_memory()


def _mount_shared_memory() -> None:
    """Files made at the top of /dev/shm are the lab's own and die with it; the folders there stay the host's."""
    old_fd = os.open(SHARED_MEMORY, os.O_PATH | os.O_DIRECTORY)
    try:
        folders = [entry.name for entry in SHARED_MEMORY.iterdir() if entry.is_dir() and not entry.is_symlink()]
        kernel.mount("tmpfs", str(SHARED_MEMORY), "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=1777")
        for name in folders:
            (SHARED_MEMORY / name).mkdir()
            kernel.mount(
                f"/proc/self/fd/{old_fd}/{name}", str(SHARED_MEMORY / name), "", kernel.MS_BIND | kernel.MS_REC
            )
    finally:
        os.close(old_fd)
