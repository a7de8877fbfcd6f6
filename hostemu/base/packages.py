"""System packages: which of them brings a command or a file, and what the user types to get them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from hostemu.base.errors import HostError

DEBIAN: Mapping[str, str] = {
    "bc": "bc",
    "bison": "bison",
    "busybox": "busybox-static",
    "bzip2": "bzip2",
    "cc": "gcc",
    "curl": "curl",
    "flex": "flex",
    "gcc": "gcc",
    "ip": "iproute2",
    "iperf": "iperf",
    "iperf3": "iperf3",
    "ld": "binutils",
    "linux.uml": "user-mode-linux",
    "m4": "m4",
    "make": "make",
    "musl-gcc": "musl-tools",
    "perl": "perl",
    "qemu-system-x86_64": "qemu-system-x86",
    "setarch": "util-linux",
    "tbench": "dbench",
    "uml_switch": "uml-utilities",
    "vde_switch": "vde2",
    "xz": "xz-utils",
    "zstd": "zstd",
    "/usr/include/gelf.h": "libelf-dev",
    "/usr/include/stdio.h": "libc6-dev",
}
"""Debian's package (and that of its derivatives) for a command, or for a file by its path."""


def location(need: str) -> str | None:
    """Where a command is on the path, or a file (an absolute path) that exists.  sbin is searched, too."""
    if need.startswith("/"):
        return need if Path(need).exists() else None
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
    return shutil.which(need, path=path)


def is_there(need: str) -> bool:
    """Whether there is such a command or file."""
    return location(need) is not None


def missing(needs: Iterable[str]) -> list[str]:
    """Those commands and files that are not there."""
    return [need for need in needs if not is_there(need)]


def packages_for(needs: Iterable[str]) -> list[str]:
    """The packages that bring them; a need whose package is not known stands for itself."""
    return sorted({DEBIAN.get(need, need) for need in needs})


def how_to_install(packages: Iterable[str]) -> str:
    """What the user has to do, as one line."""
    names = " ".join(packages)
    if shutil.which("apt-get"):
        return f"{'' if os.geteuid() == 0 else 'sudo '}apt-get install --no-install-recommends {names}"
    return f"install what your system calls {names} (Debian's names)"


def install(packages: Iterable[str]) -> None:
    """Install them; HostError, with what to do instead, where this user or system cannot."""
    names = list(packages)
    if not names:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise HostError("cannot install packages here", expected="root, and apt-get", hint=how_to_install(names))
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *names],
    ):
        done = subprocess.run(command, env=quiet, capture_output=True, text=True, check=False)
        if done.returncode and command[1] == "install":
            tail = " | ".join(done.stderr.strip().splitlines()[-3:])
            raise HostError(f"cannot install {' '.join(names)}", found=tail or "no message", hint=" ".join(command))
