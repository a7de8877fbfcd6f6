"""Whether KVM works here: the answer is held against QEMU's own experience with the same device."""

from __future__ import annotations

import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.guests import kvm_loop
from hostemu.guests.kvm_probe import DEVICE, EXPECTED_NS, judge, probe_kvm
from tests.system import unprivileged

X86 = platform.machine() == "x86_64"
on_x86 = pytest.mark.skipif(not X86, reason=f"the probe is for x86, this is {platform.machine()}")
MAY_OPEN = os.access(DEVICE, os.R_OK | os.W_OK)
QEMU = shutil.which("qemu-system-x86_64")
BOOTED = b"No bootable device"
"""The last words of the firmware of a machine without a disk."""


def firmware_cpu_s(accelerator: str, folder: Path, limit_cpu_s: float) -> float:
    """CPU time that QEMU takes to run its firmware to the end; infinite when that takes more than `limit_cpu_s`."""
    log = folder / f"{accelerator}.log"
    machine = ["-accel", accelerator, "-m", "32", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    console = ["-chardev", f"file,id=log,path={log}", "-device", "isa-debugcon,iobase=0x402,chardev=log"]
    with subprocess.Popen([str(QEMU), *machine, *console], stderr=subprocess.DEVNULL) as process:
        end_s = time.monotonic() + 60
        try:
            while (
                (used_s := cpu_s(process.pid)) < limit_cpu_s and time.monotonic() < end_s and process.poll() is None
            ):
                if log.exists() and BOOTED in log.read_bytes():
                    return used_s
                time.sleep(0.02)
            return float("inf")
        finally:
            process.kill()


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


@on_x86
@pytest.mark.skipif(not MAY_OPEN, reason=f"{DEVICE} is missing or may not be opened")
def test_the_real_device_is_judged_within_3_s_and_nothing_is_left() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    start_s = time.monotonic()
    probe = probe_kvm()
    assert time.monotonic() - start_s < 3
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert probe.reason
    assert bool(probe.fix) is not probe.usable


@on_x86
@pytest.mark.skipif(not MAY_OPEN, reason=f"{DEVICE} is missing or may not be opened")
@pytest.mark.skipif(QEMU is None, reason="not found: qemu-system-x86_64")
def test_kvm_is_usable_exactly_if_qemu_is_not_slower_with_it_than_without(tmp_path: Path) -> None:
    emulated_s = firmware_cpu_s("tcg", tmp_path, 60)
    assert emulated_s < 60
    limit_s = 2 * emulated_s + 0.1
    assert probe_kvm().usable is (firmware_cpu_s("kvm", tmp_path, limit_s) < limit_s)


@on_x86
def test_a_cpu_without_the_extensions_has_no_usable_kvm() -> None:
    flags = set(Path("/proc/cpuinfo").read_text().split())
    assert not probe_kvm().usable or flags & {"vmx", "svm"}


@on_x86
def test_a_device_that_is_not_there(tmp_path: Path) -> None:
    probe = probe_kvm(tmp_path / "kvm")
    assert (probe.usable, probe.reason) == (False, f"no {tmp_path}/kvm")
    assert re.search("nested virtualisation|modprobe|firmware", probe.fix)


@on_x86
def test_a_regular_file_and_another_device_are_no_kvm(tmp_path: Path) -> None:
    file = tmp_path / "kvm"
    file.write_text("not a device")
    for path in (file, Path("/dev/null")):
        probe = probe_kvm(path)
        assert not probe.usable
        assert probe.reason.startswith(f"{path} is not a KVM device")
        assert probe.fix
    assert file.read_text() == "not a device"


@on_x86
def test_a_folder_cannot_be_opened(tmp_path: Path) -> None:
    assert probe_kvm(tmp_path).reason == f"{tmp_path} cannot be opened: is a directory"


@on_x86
@pytest.mark.skipif(os.geteuid() == 0 and bool(unprivileged.impossible()), reason=unprivileged.impossible())
@pytest.mark.parametrize(("mode", "fix"), [(0o600, "chmod 660"), (0o660, "")])
def test_a_device_that_may_not_be_opened(mode: int, fix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        home, device = Path(folder) / "home", Path(folder) / "kvm"
        home.mkdir()
        device.touch()
        if os.geteuid() == 0:
            device.chmod(mode)
        else:  # one's own file; a group that may does not help its owner, who may not
            device.chmod(mode & ~(stat.S_IRUSR | stat.S_IWUSR))
        program = (
            "from pathlib import Path; from hostemu.guests.kvm_probe import probe_kvm;"
            f"probe = probe_kvm(Path({str(device)!r})); print(probe.usable, probe.reason, probe.fix, sep='\\n')"
        )
        command = [sys.executable, "-c", program]
        if os.geteuid() == 0:
            done = unprivileged.run(command, home=home, stage=Path(folder) / "stage", timeout=60)
        else:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        usable, reason, advice = done.stdout.splitlines()
        assert (usable, reason) == ("False", f"{device} cannot be opened: permission denied")
        assert "usermod --append --groups kvm" in advice
        assert ("chmod 660" in advice) is bool(fix)


@on_x86
def test_a_device_that_does_not_answer_in_time_is_given_up() -> None:
    before = children()
    probe = probe_kvm(limit_s=0.001)
    assert (probe.usable, probe.reason) == (False, "no answer within 0.001 s")
    assert probe.fix
    assert children() == before


def children() -> set[str]:
    return {pid for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()}


@pytest.mark.skipif(X86, reason="this is x86")
def test_other_machines_are_not_examined() -> None:
    assert "x86" in probe_kvm().reason


@given(st.floats(min_value=0.01, max_value=1e7))
def test_a_loop_is_hardware_up_to_50_ns(ns: float) -> None:
    probe = judge(ns)
    assert probe.usable is (ns <= EXPECTED_NS)
    assert ("emulated" in probe.reason) is not probe.usable
    assert "ns per loop iteration" in probe.reason


def test_the_reason_of_a_slow_kvm_in_words() -> None:
    expected = "it runs 1750 ns per loop iteration: an emulated KVM, not hardware (at most 50 expected)"
    assert judge(1750.2).reason == expected
    assert judge(1.25).reason == "it runs 1.2 ns per loop iteration"


HEADER = r"""
#include <linux/kvm.h>
#include <stddef.h>
#include <stdio.h>
int main(void) {
    printf("%lu %lu %lu %lu %lu %lu %lu %lu %lu %lu %lu ", (unsigned long)KVM_GET_API_VERSION, KVM_CREATE_VM,
           KVM_GET_VCPU_MMAP_SIZE, KVM_CREATE_VCPU, KVM_SET_TSS_ADDR, KVM_RUN, KVM_SET_USER_MEMORY_REGION,
           KVM_GET_REGS, KVM_SET_REGS, KVM_GET_SREGS, KVM_SET_SREGS);
    printf("%zu %zu %zu %zu %zu %zu %zu ", sizeof(struct kvm_userspace_memory_region), sizeof(struct kvm_regs),
           sizeof(struct kvm_sregs), offsetof(struct kvm_sregs, cs.base), offsetof(struct kvm_sregs, cs.selector),
           offsetof(struct kvm_run, exit_reason), offsetof(struct kvm_regs, rip) / 8);
    printf("%zu %zu %d %d\n", offsetof(struct kvm_regs, rcx) / 8, offsetof(struct kvm_regs, rflags) / 8,
           KVM_EXIT_HLT, KVM_API_VERSION);
}
"""


@on_x86
@pytest.mark.skipif(shutil.which("cc") is None, reason="not found: cc")
@pytest.mark.skipif(not Path("/usr/include/linux/kvm.h").exists(), reason="not found: linux/kvm.h")
def test_numbers_and_structures_are_those_of_the_kernels_header(tmp_path: Path) -> None:
    (tmp_path / "numbers.c").write_text(HEADER)
    subprocess.run(["cc", "-o", "numbers", "numbers.c"], cwd=tmp_path, check=True, timeout=60)
    said = subprocess.run([tmp_path / "numbers"], capture_output=True, text=True, check=True, timeout=10).stdout
    loop = kvm_loop
    assert list(map(int, said.split())) == [
        *(loop._GET_API_VERSION, loop._CREATE_VM, loop._GET_VCPU_MMAP_SIZE, loop._CREATE_VCPU, loop._SET_TSS_ADDR),
        *(loop._RUN, loop._SET_MEMORY, loop._GET_REGS, loop._SET_REGS, loop._GET_SREGS, loop._SET_SREGS),
        *(loop._REGION.size, loop._REGS.size, loop._SREGS_BYTES, loop._CS_BASE, loop._CS_SELECTOR),
        *(loop._EXIT_REASON, loop._RIP, loop._RCX, loop._RFLAGS, loop._HLT, loop._API_VERSION),
    ]
