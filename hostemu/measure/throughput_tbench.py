"""Throughput by tbench over TCP: the traffic of many clients of a file server, without the files.

The clients' operations come from a file; of the one that is shipped with tbench the first lines are used, since every
client holds all of them in memory.  tbench warms up for a fifth of the time first.  Its MB are 10^6 bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from hostemu.base.deadline import Deadline
from hostemu.base.errors import CommandFailed, HostError
from hostemu.base.packages import how_to_install
from hostemu.measure.bench import Bench, Once, Sample
from hostemu.measure.traffic import Tbench
from hostemu.measure.wiring import Pair, Wanted, joined

PORT = 7003
READY_S = 10.0
BYTES_PER_MB = 1_000_000
CLIENT_FILES = (Path("/usr/share/dbench/client.txt"), Path("/usr/share/doc/dbench/loadfiles/client.txt"))
OPERATIONS = "client.txt"
_RESULT = re.compile(r"^Throughput ([0-9.]+(?:e[+-]?\d+)?) MB/sec", re.MULTILINE)
_TROUBLE = re.compile(r"^(?:FAILED TO START|Child failed).*", re.MULTILINE)


def client_file() -> Path:
    """The file of the clients' operations; HostError when there is none."""
    for path in CLIENT_FILES:
        if path.exists():
            return path
    raise HostError(
        "tbench's client.txt is not there", expected=str(CLIENT_FILES[0]), hint=how_to_install(["dbench"])
    )


def first_lines(source: Path, count: int, target: Path) -> None:
    """Copy the first lines of a file."""
    with source.open("rb") as given, target.open("wb") as taken:
        taken.writelines(islice(given, count))


@contextmanager
def opened(bench: Bench) -> Iterator[Once]:
    """One guest and one server for all repeats."""
    settings = bench.settings_of(Tbench)
    operations = bench.folder / OPERATIONS
    first_lines(client_file(), settings.client_lines, operations)
    with joined(bench, Wanted(settings.memory_bytes, ("tbench",))) as pair, pair.host.spawn(["tbench_srv"]) as server:
        pair.host.wait_listening(server, PORT, Deadline.after(READY_S, "tbench's server"))
        pair.guest.put(operations, OPERATIONS)
        seconds, clients = str(settings.duration_ns // 10**9), str(bench.chosen(*settings.varied))
        argv = ["tbench", "-t", seconds, "-c", OPERATIONS, clients, pair.host.address]
        yield lambda: _tbench(pair, argv, bench.patience("tbench"))


def _tbench(pair: Pair, argv: list[str], deadline: Deadline) -> Sample:
    return parse(pair.guest.run(argv, deadline=deadline).stdout.decode(errors="replace"))


def parse(text: str) -> Sample:
    """tbench's last word; CommandFailed when it has none, or some clients failed."""
    result, trouble = _RESULT.search(text), _TROUBLE.search(text)
    if result is None or trouble is not None or not float(result[1]):
        said = trouble[0] if trouble else " | ".join(text.strip().splitlines()[-2:])
        raise CommandFailed(
            "tbench gave no result",
            found=said or "no output",
            hint="give the guest more memory, or use fewer clients",
        )
    return Sample({"tbench_bps": float(result[1]) * BYTES_PER_MB * 8}, {"said": result[0]})
