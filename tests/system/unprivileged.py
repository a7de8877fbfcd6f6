"""Running commands as an ordinary user, from a test that is root.

The interpreter may lie in a folder that only root may enter (a pyenv in root's home, say).  In a mount namespace of
its own the command sees such a folder replaced by an open one that holds just what is needed.
"""

from __future__ import annotations

import atexit
import os
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

from hostemu.base.cache import cache_dir
from hostemu.base.work_folder import sweep, work_folder

UID = 65534
ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("unshare", "setpriv", "mount")


def impossible() -> str:
    """Why no command can be run as an ordinary user here; empty when it can."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f"not found: {', '.join(missing)}" if missing else ""


def _closed_parent(path: Path) -> Path | None:
    """The outermost folder on the way to `path` that others may not enter."""
    parents = [path, *path.parents][::-1]
    return next((parent for parent in parents if not parent.stat().st_mode & stat.S_IXOTH), None)


def _opening_steps(stage: Path) -> Iterator[str]:
    """Shell commands that make the interpreter, its packages and the checkout reachable."""
    needed = {Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), ROOT}
    closed = {path: parent for path in needed if (parent := _closed_parent(path)) is not None}
    for number, path in enumerate(closed):
        kept = shlex.quote(str(stage / str(number)))
        yield f"mkdir -p {kept} && mount --bind {shlex.quote(str(path))} {kept}"
    for parent in set(closed.values()):
        yield f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(parent))}"
    for number, path in enumerate(closed):
        target = shlex.quote(str(path))
        yield f"mkdir -p {target} && mount --bind {shlex.quote(str(stage / str(number)))} {target}"


def _tun_steps(stage: Path, is_open: bool) -> Iterator[str]:
    """Shell commands that let everybody open /dev/net/tun, as most distributions do, or only root."""
    node = shlex.quote(str(stage / f"tun-{is_open}"))
    yield f"mkdir -p {shlex.quote(str(stage))} && rm -f {node}"
    yield f"mknod -m {'666' if is_open else '600'} {node} c 10 200 && mount --bind {node} /dev/net/tun"


def _caged(argv: Sequence[str], home: Path, stage: Path) -> Iterator[str]:
    """Shell commands that run `argv` in a chroot that holds all files: user_namespaces(7), EPERM."""
    root = shlex.quote(str(stage / "root"))
    yield f"mkdir -p {root} && mount --rbind / {root}"
    yield f"exec chroot {root} sh -c {shlex.quote(f'cd {shlex.quote(str(home))} && exec {shlex.join(argv)}')}"


@cache
def _machine_code() -> Path:
    """A folder of that user's with the machine code that this one has: compiling it takes a minute and more."""
    parent = Path(tempfile.gettempdir()) / "hostemu-machine-code"
    parent.mkdir(exist_ok=True)
    sweep(parent)  # of tests that were killed
    stack = ExitStack()
    atexit.register(stack.close)
    folder, _ = stack.enter_context(work_folder(parent))
    shutil.copytree(os.environ.get("NUMBA_CACHE_DIR") or cache_dir("compiled"), folder, dirs_exist_ok=True)
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, UID, UID)
    return folder


def run(
    argv: Sequence[str], *, home: Path, stage: Path, tun: bool | None = None, caged: bool = False, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a command as an ordinary user in `home`, which becomes that user's; stage: a folder for mounts.

    tun: whether this user may open /dev/net/tun; None: as the machine has it.
    caged: this user may make no user namespace, and thus no lab.
    """
    shutil.chown(home, UID, UID)
    drop = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--no-new-privs", "--", *argv]
    steps = [
        *([] if tun is None else _tun_steps(stage, tun)),
        *_opening_steps(stage),
        f"cd {shlex.quote(str(home))}",
        *(_caged(drop, home, stage) if caged else [f"exec {shlex.join(drop)}"]),
    ]
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(home),
        "NUMBA_CACHE_DIR": str(_machine_code()),
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-ec", "\n".join(steps)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )
