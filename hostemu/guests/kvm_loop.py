"""Runs a loop on a virtual CPU by raw KVM ioctls and says how long it took: `python kvm_loop.py DEVICE`.

It is a program of its own, with the standard library alone, because a broken KVM may hang it for good.  It prints one
JSON object, {"ns_per_iteration": …} or {"call": …, "error": …, "errno": …}.  Numbers and structures: linux/kvm.h and
asm/kvm.h (x86); their meaning: the kernel's documentation, virt/kvm/api.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import mmap
import os
import signal
import struct
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

LIFETIME_S = 5
"""The kernel ends this process after that, whatever became of the one that started it."""

ITERATIONS = 20_000
ROUNDS = 5
ENOUGH_NS = 5
"""An iteration this fast needs no second round."""

# linux/kvm.h; an ioctl's number is direction << 30 | size << 16 | KVMIO << 8 | command (asm-generic/ioctl.h)
_KVMIO = 0xAE
_API_VERSION = 12
_GET_API_VERSION, _CREATE_VM, _GET_VCPU_MMAP_SIZE = (_KVMIO << 8 | number for number in (0x00, 0x01, 0x04))
_CREATE_VCPU, _SET_TSS_ADDR, _RUN = (_KVMIO << 8 | number for number in (0x41, 0x47, 0x80))
_REGION = struct.Struct("=IIQQQ")  # kvm_userspace_memory_region: slot, flags, guest address, size, our address
_REGS = struct.Struct("=18Q")  # kvm_regs: rax rbx rcx rdx rsi rdi rsp rbp r8 … r15 rip rflags
_SREGS_BYTES = 312  # kvm_sregs: 8 segments of 24 bytes, 2 tables of 16, 7 × 8 of control registers, 4 × 8
_CS_BASE, _CS_SELECTOR = 0, 12  # in kvm_sregs, which begins with the segment cs: base, limit, selector, …
_EXIT_REASON = 8  # in kvm_run
_EXITS = {2: "IO", 5: "HLT", 6: "MMIO", 8: "SHUTDOWN", 9: "FAIL_ENTRY", 10: "INTR", 17: "INTERNAL_ERROR"}
_HLT = 5

_READ, _WRITE = 2, 1
_RCX, _RIP, _RFLAGS = 2, 16, 17
_RESERVED_FLAG = 0x2  # of rflags: bit 1 is always set (Intel SDM volume 1, 3.4.3)
_TSS_ADDRESS = 0x100000  # where KVM may keep three pages of its own on Intel's CPUs: beyond the guest's memory

_MEMORY_BYTES = 0x10000
_CODE_ADDRESS = 0x1000
_CODE = bytes([0xB9, *ITERATIONS.to_bytes(2, "little"), 0x49, 0x75, 0xFD, 0xF4])
"""16-bit: mov cx, ITERATIONS; again: dec cx; jnz again; hlt."""


class KvmError(Exception):
    """A step of the way failed."""

    def __init__(self, call: str, error: str, number: int = 0) -> None:
        super().__init__(call, error)
        self.answer = {"call": call, "error": error, "errno": number}


def _numbered(direction: int, size: int, number: int) -> int:
    return direction << 30 | size << 16 | _KVMIO << 8 | number


_SET_MEMORY = _numbered(_WRITE, _REGION.size, 0x46)
_GET_REGS, _SET_REGS = _numbered(_READ, _REGS.size, 0x81), _numbered(_WRITE, _REGS.size, 0x82)
_GET_SREGS, _SET_SREGS = _numbered(_READ, _SREGS_BYTES, 0x83), _numbered(_WRITE, _SREGS_BYTES, 0x84)


@contextmanager
def _step(call: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise KvmError(call, error.strerror or str(error), error.errno or errno.EIO) from error


class Machine:
    """A virtual machine with 64 KiB of memory and one CPU; its descriptors live as long as `stack`."""

    def __init__(self, device: str, stack: ExitStack) -> None:
        self._stack = stack
        with _step("open"):
            kvm = self._owned(os.open(device, os.O_RDWR | os.O_CLOEXEC))
        with _step("KVM_GET_API_VERSION"):
            version = fcntl.ioctl(kvm, _GET_API_VERSION, 0)
        if version != _API_VERSION:
            raise KvmError("KVM_GET_API_VERSION", f"version {version}, not {_API_VERSION}")
        with _step("KVM_CREATE_VM"):
            self._vm = self._owned(fcntl.ioctl(kvm, _CREATE_VM, 0))
        self._memory = self._give_memory()
        with _step("KVM_CREATE_VCPU"):
            self._cpu = self._owned(fcntl.ioctl(self._vm, _CREATE_VCPU, 0))
            shared_bytes = fcntl.ioctl(kvm, _GET_VCPU_MMAP_SIZE, 0)
            self._shared = mmap.mmap(self._cpu, shared_bytes)

    def _owned(self, fd: int) -> int:
        self._stack.callback(os.close, fd)
        return fd

    def _give_memory(self) -> mmap.mmap:
        memory = mmap.mmap(-1, _MEMORY_BYTES)
        memory[_CODE_ADDRESS : _CODE_ADDRESS + len(_CODE)] = _CODE
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        with _step("KVM_SET_TSS_ADDR"):
            fcntl.ioctl(self._vm, _SET_TSS_ADDR, _TSS_ADDRESS)
        with _step("KVM_SET_USER_MEMORY_REGION"):
            fcntl.ioctl(self._vm, _SET_MEMORY, _REGION.pack(0, 0, 0, _MEMORY_BYTES, address))
        return memory

    def run_ns(self) -> int:
        """Run the loop from its start to its HLT; the time that it took."""
        self._reset()
        start_ns = time.perf_counter_ns()
        with _step("KVM_RUN"):
            fcntl.ioctl(self._cpu, _RUN, 0)
        took_ns = time.perf_counter_ns() - start_ns
        self._check()
        return took_ns

    def _reset(self) -> None:
        segments = bytearray(_SREGS_BYTES)
        with _step("KVM_GET_SREGS"):
            fcntl.ioctl(self._cpu, _GET_SREGS, segments)
        struct.pack_into("=Q", segments, _CS_BASE, 0)
        struct.pack_into("=H", segments, _CS_SELECTOR, 0)
        registers = [0] * 18
        registers[_RIP], registers[_RFLAGS] = _CODE_ADDRESS, _RESERVED_FLAG
        with _step("KVM_SET_SREGS"):
            fcntl.ioctl(self._cpu, _SET_SREGS, segments)
        with _step("KVM_SET_REGS"):
            fcntl.ioctl(self._cpu, _SET_REGS, _REGS.pack(*registers))

    def _check(self) -> None:
        """The guest stopped at its HLT, with its counter at 0."""
        reason = struct.unpack_from("=I", self._shared, _EXIT_REASON)[0]
        if reason != _HLT:
            raise KvmError("KVM_RUN", f"the guest left with {_EXITS.get(reason, f'reason {reason}')}, not HLT")
        buffer = bytearray(_REGS.size)
        with _step("KVM_GET_REGS"):
            fcntl.ioctl(self._cpu, _GET_REGS, buffer)
        registers = _REGS.unpack(buffer)
        if registers[_RCX] != 0 or registers[_RIP] != _CODE_ADDRESS + len(_CODE):
            raise KvmError("KVM_RUN", f"the guest computed wrongly: cx {registers[_RCX]}, ip {registers[_RIP]:#x}")


def ns_per_iteration(device: str) -> float:
    """The fastest of up to five rounds, so that a busy machine does not make a slow CPU; KvmError."""
    fastest_ns = float("inf")
    with ExitStack() as stack:
        machine = Machine(device, stack)
        for _ in range(ROUNDS):
            fastest_ns = min(fastest_ns, machine.run_ns() / ITERATIONS)
            if fastest_ns <= ENOUGH_NS:
                break
    return fastest_ns


def main() -> None:
    """The program."""
    signal.alarm(LIFETIME_S)
    try:
        answer: Mapping[str, object] = {"ns_per_iteration": ns_per_iteration(sys.argv[1])}
    except KvmError as error:
        answer = error.answer
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
