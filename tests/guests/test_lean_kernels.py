"""Lean kernels boot, in as little memory as is said, with everything that guests need."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from hostemu.guests.kernels import Kernel
from tests.guests.kernels import lean_kernel, may_build

BUSYBOX, QEMU = shutil.which("busybox"), shutil.which("qemu-system-x86_64")
pytestmark = [pytest.mark.heavy, may_build, pytest.mark.skipif(BUSYBOX is None, reason="not found: busybox")]

INIT = """\
#!/bin/busybox sh
busybox mount -t proc none /proc && busybox mount -t sysfs none /sys && busybox mount -t devtmpfs none /dev
echo "up $(busybox uname -r)"
{script}
echo done
busybox {end} -f
"""
BOOT_S = 60


@pytest.fixture(scope="module")
def uml() -> Kernel:
    return lean_kernel("uml")


@pytest.fixture(scope="module")
def x86() -> Kernel:
    if QEMU is None:
        pytest.skip("not found: qemu-system-x86_64")
    return lean_kernel("x86")


def initramfs(folder: Path, script: str, end: str) -> Path:
    """A RAM disk with busybox (which must be static) and an init that runs `script`."""
    root = folder / "root"
    for name in ("bin", "proc", "sys", "dev", "host"):
        (root / name).mkdir(parents=True)
    shutil.copy(str(BUSYBOX), root / "bin" / "busybox")
    (root / "init").write_text(INIT.format(script=script, end=end))
    (root / "init").chmod(0o755)
    names = "".join(f"{path.relative_to(root)}\n" for path in sorted(root.rglob("*")))
    command = [str(BUSYBOX), "cpio", "-o", "-H", "newc"]
    packed = subprocess.run(command, cwd=root, input=names.encode(), capture_output=True, check=True).stdout
    archive = folder / "initramfs.gz"
    archive.write_bytes(gzip.compress(packed))
    return archive


def output(command: Sequence[str | Path], folder: Path) -> str:
    """What a guest says until it ends by itself."""
    env = {**os.environ, "TMPDIR": str(folder)}
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=BOOT_S, env=env
    )
    assert "\ndone" in done.stdout.replace("\r", ""), f"{done.stdout}\n{done.stderr}"
    return done.stdout.replace("\r", "")


def boot_uml(kernel: Kernel, folder: Path, script: str, *options: str, mib: int = 16) -> str:
    disk = initramfs(folder, script, "poweroff")
    fixed = [f"mem={mib}M", f"initrd={disk}", "con=null", "con0=fd:0,fd:1", "quiet", f"uml_dir={folder}/"]
    return output(["setarch", "-R", kernel.path, *fixed, *options], folder)


def boot_x86(kernel: Kernel, folder: Path, script: str, devices: str, *, mib: int = 32, more: str = "") -> str:
    disk = initramfs(folder, script, "reboot")
    fixed = f"-accel tcg -m {mib} -nodefaults -no-user-config -display none -no-reboot -serial stdio {devices}"
    boot = ["-kernel", kernel.path, "-initrd", disk, "-append", f"console=ttyS0 quiet panic=-1 reboot=t {more}"]
    return output([str(QEMU), *fixed.split(), *boot], folder)


def test_a_user_mode_guest_boots_in_the_memory_that_is_said(uml: Kernel, tmp_path: Path) -> None:
    said = boot_uml(uml, tmp_path, "busybox cat /proc/meminfo", mib=uml.least_memory_bytes >> 20)
    assert f"up {uml.version}\n" in said
    free_kb = int(said.partition("MemFree:")[2].split()[0])
    assert free_kb > 4000


def test_a_user_mode_guest_sees_the_hosts_files(uml: Kernel, tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("from the host\n")
    said = boot_uml(uml, tmp_path, f"busybox mount -t hostfs none /host -o {tmp_path} && busybox cat /host/letter")
    assert "\nfrom the host\n" in said


def test_a_user_mode_guest_has_ip_a_vector_nic_and_virtual_time(uml: Kernel, tmp_path: Path) -> None:
    script = (
        "busybox ip addr add ::2/64 dev vec0; busybox sleep 60; busybox cut -d. -f1 /proc/uptime; busybox ip addr"
    )
    nic = "vec0:transport=fd,fd=0,depth=8,mac=02:00:00:00:00:07"
    said = boot_uml(uml, tmp_path, script, "time-travel=inf-cpu", nic)
    assert "\n60\n" in said
    assert "02:00:00:00:00:07" in said
    assert "inet6 ::2/64" in said


def test_a_serial_line_of_a_user_mode_guest_is_a_descriptor(uml: Kernel, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    disk = initramfs(tmp_path, "echo hello > /dev/ttyS0", "poweroff")
    fixed = ["mem=16M", f"initrd={disk}", "con=null", "con0=fd:0,fd:1", "quiet", f"ssl0=null,fd:{writer}"]
    command: list[str | Path] = ["setarch", "-R", uml.path, *fixed]
    subprocess.run(
        command, stdin=subprocess.DEVNULL, timeout=BOOT_S, check=False, pass_fds=[writer], capture_output=True
    )
    os.close(writer)
    with os.fdopen(reader) as pipe:
        assert pipe.read().strip() == "hello"


@pytest.mark.parametrize("machine", ["microvm,acpi=off", "pc"])
@pytest.mark.parametrize("mib", [32, 22])
def test_an_x86_guest_boots_in_little_memory(x86: Kernel, tmp_path: Path, machine: str, mib: int) -> None:
    said = boot_x86(x86, tmp_path, "busybox date +%s", f"-M {machine}", mib=mib)
    assert f"up {x86.version}\n" in said


def test_an_x86_guest_has_drivers_for_all_its_devices(x86: Kernel, tmp_path: Path) -> None:
    script = """\
for nic in /sys/class/net/*; do echo "$(busybox basename $nic) $(busybox readlink $nic/device/driver)"; done
busybox mount -t 9p -o trans=virtio,version=9p2000.L share /host && busybox cat /host/letter
echo to the host > /dev/vport1p1
busybox cat /sys/class/misc/hw_random/rng_current /sys/devices/system/clocksource/clocksource0/current_clocksource
busybox dmesg | busybox grep reporting
"""
    (tmp_path / "letter").write_text("from the host\n")
    devices = f"""
        -M pc -cpu max -netdev user,id=a -device virtio-net-pci,netdev=a -netdev user,id=b -device e1000,netdev=b
        -netdev user,id=c -device rtl8139,netdev=c -device virtio-serial-pci
        -chardev file,id=p,path={tmp_path}/port -device virtserialport,chardev=p
        -device virtio-balloon-pci,free-page-reporting=on -device virtio-rng-pci
        -fsdev local,id=f,path={tmp_path},security_model=none,readonly=on
        -device virtio-9p-pci,fsdev=f,mount_tag=share
    """
    said = boot_x86(x86, tmp_path, script, devices, mib=48)
    for driver in ("virtio_net", "e1000", "8139cp"):
        assert f"/{driver}\n" in said
    for line in ("from the host", "virtio_rng.0"):
        assert f"\n{line}\n" in said
    assert "Free page reporting enabled" in said
    assert (tmp_path / "port").read_text() == "to the host\n"


def test_an_x86_guest_believes_the_frequency_that_it_is_told(x86: Kernel, tmp_path: Path) -> None:
    script = "busybox sleep 3; busybox cat /sys/devices/system/clocksource/clocksource0/current_clocksource"
    told = "tsc_early_khz=2000000 tsc=reliable"
    assert "\ntsc\n" in boot_x86(x86, tmp_path, script, "-M microvm,acpi=off -cpu max", more=told)
