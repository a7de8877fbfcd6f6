"""Called inside a lab: processes that use a known amount of CPU time and memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

from hostemu.measure.lab_use import LabUse

SPEND = """
import sys, time
spent_s, held = float(sys.argv[1]), bytearray(b"x") * int(sys.argv[2])
while time.process_time() < spent_s:
    pass
print("ready", flush=True)
sys.stdin.read()
"""


def busy(argument: list[float], _emit: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """One process works and ends, one works, holds memory and lives on; what the lab used meanwhile."""
    spent_s, held_bytes = argument
    lab = LabUse()
    before = lab.cpu_s({})
    subprocess.run(
        [sys.executable, "-c", SPEND, str(spent_s), "1"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    command = [sys.executable, "-c", SPEND, str(spent_s), str(int(held_bytes))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as living:
        assert living.stdout is not None
        assert living.stdin is not None
        living.stdout.readline()
        parts = {"living": [living.pid]}
        cpu = lab.cpu_s(parts)
        found = {
            "cpu": {**cpu, "runner": cpu["runner"] - before["runner"]},
            "memory": lab.memory_bytes(parts),
            "processes": lab.processes(),
            "machine_s": lab.machine()["cpu_s"],
        }
        living.stdin.close()
        return found
