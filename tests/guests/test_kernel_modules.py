"""Modules of a distribution's kernel: found, put in order, unpacked; those of a lean kernel are none."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest

from hostemu.base.errors import InputError
from hostemu.guests.kernel_modules import dependencies, modules_for
from hostemu.guests.kernels import Flavour, Kernel

VERSION = "6.1.0-test"


def module(*needs: str) -> bytes:
    """A file whose .modinfo says what it needs."""
    return b"\x7fELF\0license=GPL\0depends=" + ",".join(needs).encode() + b"\0name=x\0"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A /boot and a /lib/modules of a kernel; virtio_net is compressed, virtio built in."""
    folder = tmp_path / "lib/modules" / VERSION
    (folder / "kernel/drivers").mkdir(parents=True)
    (tmp_path / "boot").mkdir()
    for name, needs in (
        ("virtio_pci", ("virtio-pci-lib", "virtio")),
        ("virtio_pci_lib", ()),
        ("virtio_console", ("virtio",)),
        ("net_failover", ("failover",)),
        ("failover", ()),
        ("9p", ("9pnet",)),
        ("9pnet", ()),
        ("9pnet_virtio", ("9pnet", "virtio")),
    ):
        (folder / "kernel/drivers" / f"{name}.ko").write_bytes(module(*needs))
    net = lzma.compress(module("net_failover", "virtio"))
    (folder / "kernel/drivers/virtio_net.ko.xz").write_bytes(net)
    (folder / "modules.builtin").write_text("kernel/drivers/virtio/virtio.ko\n")
    return tmp_path


def kernel(tree: Path, flavour: Flavour = "distribution") -> Kernel:
    return Kernel(tree / "boot/vmlinuz", "x86", flavour, VERSION, "")


def test_what_a_module_needs_is_read_from_it() -> None:
    assert list(dependencies(module("a-b", "c"))) == ["a_b", "c"]
    assert list(dependencies(module())) == []
    assert list(dependencies(b"no module")) == []


def test_each_module_comes_after_those_that_it_needs(tree: Path) -> None:
    found = modules_for(kernel(tree), shares=True)
    names = [name for name, _ in found]
    virtio = {"virtio_pci_lib", "virtio_pci", "virtio_console", "failover", "net_failover", "virtio_net"}
    assert set(names) == virtio | {"9pnet", "9pnet_virtio", "9p"}
    assert len(names) == len(set(names))
    for name, content in found:
        for needed in dependencies(content):
            assert needed == "virtio" or names.index(needed) < names.index(name)


def test_compressed_modules_are_unpacked(tree: Path) -> None:
    assert dict(modules_for(kernel(tree), shares=False))["virtio_net"] == module("net_failover", "virtio")


def test_folders_are_shared_by_modules_that_others_do_not_need(tree: Path) -> None:
    assert not {"9p", "9pnet"} & dict(modules_for(kernel(tree), shares=False)).keys()


def test_a_lean_kernel_and_one_without_a_folder_of_modules_have_none(tree: Path, tmp_path: Path) -> None:
    assert modules_for(kernel(tree, "lean"), shares=True) == []
    assert modules_for(kernel(tmp_path / "elsewhere"), shares=True) == []


def test_a_kernel_that_lacks_a_module_is_refused_by_its_name(tree: Path) -> None:
    next(tree.rglob("virtio_console.ko")).rename(tree / "gone")
    moved = kernel(tree)
    with pytest.raises(InputError, match="cannot be a guest") as caught:
        modules_for(Kernel(moved.path, "x86", "given", VERSION, "other"), shares=False)
    assert "virtio_console" in str(caught.value.expected)
