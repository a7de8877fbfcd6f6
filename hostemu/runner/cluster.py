"""Where the runs of a sweep are computed: on all cores of this machine, or on a Dask cluster somewhere."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from hostemu import __version__
from hostemu.base.errors import HostemuError, HostError, InputError, RunError
from hostemu.sim.sweep import Point, Task

CONNECT_S = 10.0
WORKERS_S = 60.0
"""How long a cluster may be without any worker before it is given up."""

LOOK_S = 1.0
DEATHS = 10
"""A run may take so many workers with it before it is taken to be the cause."""

_CONTINUE = "what was finished so far is kept: go on with --continue"

Summary = dict[str, Any]
Runs = Mapping[Point, Task]

Finished = Iterator[tuple[Point, Summary]]


class Cluster(Protocol):
    """Computes runs."""

    def compute(self, runs: Runs) -> Finished:
        """The summary of every run, in the order in which they are finished."""


class Here:
    """One run after the other, in this process."""

    def compute(self, runs: Runs) -> Finished:
        """See Cluster."""
        for point, task in runs.items():
            yield point, task.play(point.seed)


def play_remotely(version: str, task: Task, seed: int) -> Summary:
    """What a worker does; RunError when it is of another version than who asks."""
    if version != __version__:
        found = f"hostemu {__version__}"
        raise RunError("a worker of the cluster has another version", expected=f"hostemu {version}", found=found)
    return task.play(seed)


class Distributed:
    """On a Dask cluster.  The runs of a worker that is lost are computed by another one."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def compute(self, runs: Runs) -> Finished:
        """See Cluster.  RunError when the cluster is gone, or when a run kills its workers."""
        from dask.distributed import as_completed

        points = {}
        for point, task in runs.items():
            points[self._client.submit(play_remotely, __version__, task, point.seed, pure=False)] = point
        finished = as_completed(list(points))
        while points:
            self._wait(finished)
            future = next(finished)
            yield points.pop(future), _result(future)

    def _wait(self, finished: Any) -> None:
        """Until a run is finished; RunError when there is nobody to finish one."""
        last_s = time.monotonic()
        while not finished.has_ready():
            time.sleep(0.02)
            if time.monotonic() - last_s > LOOK_S:
                last_s = self._last_seen(last_s)

    def _last_seen(self, last_s: float) -> float:
        """When there was a worker last."""
        try:
            if self._client.nthreads():
                return time.monotonic()
        except OSError as error:
            raise RunError("the cluster is gone", found=str(error), hint=_CONTINUE) from error
        if time.monotonic() - last_s > WORKERS_S:
            raise RunError("the cluster has no workers any more", hint=_CONTINUE)
        return last_s


def _result(future: Any) -> Summary:
    error = future.exception()
    if error is None:
        result: Summary = future.result()
        return result
    if isinstance(error, HostemuError):
        raise error
    raise RunError("a run could not be computed", found=f"{type(error).__name__}: {error}", hint=_CONTINUE)


@contextmanager
def cluster(address: str | None, runs: int) -> Iterator[Cluster]:
    """The Dask cluster at `address` ("tcp://HOST:PORT"); None: this machine's cores, without ado for a single run.

    InputError when there is no cluster at that address, HostError when none can be started here.
    """
    cores = len(os.sched_getaffinity(0))
    if address is None and (runs <= 1 or cores == 1):
        yield Here()
        return
    import dask
    from dask.distributed import Client, LocalCluster

    with dask.config.set({"distributed.scheduler.allowed-failures": DEATHS}):
        if address is not None:
            with _client(Client, address) as client:
                yield Distributed(client)
            return
        workers = min(cores, runs)
        try:
            local = LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL
            )
        except (OSError, RuntimeError) as error:
            raise HostError("no processes can be started to share the sweep", found=str(error)) from error
        with local, Client(local) as client:
            yield Distributed(client)


def _client(kind: Any, address: str) -> Any:
    try:
        return kind(address, timeout=CONNECT_S)
    except (OSError, ValueError) as error:
        raise InputError(
            f"there is no Dask cluster at {address}",
            expected="the address that a running `dask scheduler` says, such as tcp://127.0.0.1:8786",
            found=str(error) or type(error).__name__,
        ) from error
