"""Lean kernels for tests: built once on a machine, then kept in the user's cache."""

from __future__ import annotations

import pytest

from hostemu.base.packages import how_to_install
from hostemu.guests.kernel_build import build_kernel, missing_packages
from hostemu.guests.kernel_image import Kind
from hostemu.guests.kernels import Kernel, lean_kernels

may_build = pytest.mark.timeout(3600)
"""For tests and fixtures that call lean_kernel: the first call on a machine takes minutes, more when it is busy."""


def lean_kernel(kind: Kind) -> Kernel:
    """The lean kernel of this version's configuration; skips the test, with the reason, where it cannot be built."""
    for lean in lean_kernels(kind):
        if lean.current:
            return lean.kernel
    packages = missing_packages(kind)
    if packages:
        pytest.skip(f"no lean {kind} kernel, and to build one: {how_to_install(packages)}")
    return build_kernel(kind, lambda _done, _total: None)
