"""Whether /dev/kvm runs an ordinary guest at the speed of the CPU, found by running a loop on it."""

from __future__ import annotations

import json
import platform
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EACCES, ENOENT
from pathlib import Path
from typing import Any

from hostemu.guests.api import Probe

DEVICE = Path("/dev/kvm")
LIMIT_S = 2.0
"""For the loop's whole process; on hardware it takes 0.05 s, most of it the start of Python."""

BURIAL_S = 0.5
"""How long a killed process may take to be gone before it is left to its own alarm."""

EXPECTED_NS = 50.0
"""At most, per iteration of two instructions: 1 ns on hardware; a KVM that emulates instructions took 830 to 1750."""

_LOOP = Path(__file__).with_name("kvm_loop.py")
_USE_TCG = "or use the backend qemu, which needs no KVM"


def probe_kvm(device: Path = DEVICE, *, limit_s: float = LIMIT_S) -> Probe:
    """Try the device; takes at most 1 s longer than `limit_s`, whatever it does.  Only x86 is examined."""
    if platform.machine() not in ("x86_64", "i386", "i686"):
        return Probe(False, f"not examined: the probe is written for x86, this is {platform.machine()}")
    said = _run(device, limit_s)
    if said is None:
        fix = f"it is broken: enable nested virtualisation on the machine below, {_USE_TCG}"
        return Probe(False, f"no answer within {limit_s:g} s", fix)
    if "error" in said:
        return _failed(device, **said)
    return judge(said["ns_per_iteration"])


def judge(ns_per_iteration: float) -> Probe:
    """What a measured speed means."""
    speed = f"it runs {ns_per_iteration:.{1 if ns_per_iteration < 10 else 0}f} ns per loop iteration"
    if ns_per_iteration <= EXPECTED_NS:
        return Probe(True, speed)
    reason = f"{speed}: an emulated KVM, not hardware (at most {EXPECTED_NS:g} expected)"
    return Probe(False, reason, f"enable nested virtualisation on the machine below, {_USE_TCG}")


def _run(device: Path, limit_s: float) -> dict[str, Any] | None:
    """What the loop's process says of the device; None when it says nothing in time."""
    command = [sys.executable, "-I", "-S", str(_LOOP), str(device)]
    with _mortal(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)) as process:
        try:
            out, err = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            return None
    try:
        answer: dict[str, Any] = json.loads(out)
    except ValueError:
        last = err.strip().splitlines()[-1:] or [f"exit status {process.returncode}"]
        return {"call": "the loop", "error": last[0], "errno": 0}
    return answer


@contextmanager
def _mortal(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Kill the process on the way out, without waiting for ever for one that the kernel does not let go."""
    try:
        yield process
    finally:
        process.kill()
        end_s = time.monotonic() + BURIAL_S
        while process.poll() is None and time.monotonic() < end_s:
            time.sleep(0.005)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def _failed(device: Path, call: str, error: str, errno: int) -> Probe:
    """A step that failed, in words."""
    if errno == ENOENT:
        return Probe(False, f"no {device}", _why_absent(Path("/proc/cpuinfo")))
    if call == "open":
        said = error[:1].lower() + error[1:]
        return Probe(False, f"{device} cannot be opened: {said}", _how_to_open(device, errno))
    if call == "KVM_GET_API_VERSION":
        return Probe(False, f"{device} is not a KVM device: {error}", f"remove it, load the kernel's KVM, {_USE_TCG}")
    return Probe(False, f"{device} cannot run a guest: {call}: {error}", f"see the kernel's log (dmesg), {_USE_TCG}")


def _how_to_open(device: Path, errno: int) -> str:
    if errno != EACCES:
        return f"see the kernel's log (dmesg), {_USE_TCG}"
    join = 'add yourself to the group kvm (sudo usermod --append --groups kvm "$USER"), then log in again'
    if device.stat().st_mode & (stat.S_IRGRP | stat.S_IWGRP) == stat.S_IRGRP | stat.S_IWGRP:
        return join
    return f"open it to a group (sudo chgrp kvm {device}; sudo chmod 660 {device}) and {join}"


def _why_absent(cpuinfo: Path) -> str:
    """What is likely to be missing, by the flags of the CPU."""
    flags = set(cpuinfo.read_text().split()) if cpuinfo.exists() else set()
    for flag, module in (("vmx", "kvm_intel"), ("svm", "kvm_amd")):
        if flag in flags:
            return f"load the kernel's module: sudo modprobe {module} (in a container: hand /dev/kvm in), {_USE_TCG}"
    if "hypervisor" in flags:
        return f"enable nested virtualisation on the machine below, {_USE_TCG}"
    return f"enable virtualisation in the firmware, {_USE_TCG}"
