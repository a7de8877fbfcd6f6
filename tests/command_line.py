"""`hostemu` as a user runs it: in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def hostemu(*arguments: str, cwd: Path, limit_s: float = 240, **env: str) -> subprocess.CompletedProcess[str]:
    """Run `hostemu ARGUMENTS` in `cwd`.  env: variables besides."""
    return subprocess.run(
        [sys.executable, "-m", "hostemu", *arguments],
        cwd=cwd,
        env={**ENVIRONMENT, **env},
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )
