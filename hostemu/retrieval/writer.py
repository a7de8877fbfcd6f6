"""The thread that writes to the store, so that the center's loop never waits for a disk."""

from __future__ import annotations

import os
import queue
import select
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from hostemu.retrieval.reactor import Reactor
from hostemu.retrieval.store import RunEnd, Store, StoreError

BATCH_S = 0.25
BATCH_ROWS = 2000
"""What a kill -9 may lose: the rows of this time, or this many."""

STOP_S = 10.0

Row = dict[str, Any]


class StoreWriter:
    """Commits rows in batches.  A failure of the store is raised in the reactor's thread."""

    def __init__(self, store: Store, reactor: Reactor) -> None:
        self._store = store
        self._reactor = reactor
        self._queue: queue.SimpleQueue[list[Row] | tuple[str, RunEnd] | None] = queue.SimpleQueue()
        self._failure: Exception | None = None
        self._is_stuck = False
        self._on_finished: Callable[[], None] | None = None
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._write, name="store writer", daemon=True)

    def __enter__(self) -> StoreWriter:
        self._reactor.register(self._wake_fd, select.EPOLLIN, self._woken)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._queue.put(None)
        self._thread.join(0.0 if self._is_stuck else STOP_S)
        self._reactor.forget(self._wake_fd)
        if not self._thread.is_alive():
            os.close(self._wake_fd)

    def put(self, rows: list[Row]) -> None:
        """Write these rows before long."""
        self._queue.put(rows)

    def finish(self, run_id: str, end: RunEnd, on_finished: Callable[[], None]) -> None:
        """Write what is left and the end of the run; `on_finished` is called once that is committed."""
        self._on_finished = on_finished
        self._queue.put((run_id, end))

    def flush(self) -> None:
        """Write what is left and end the thread; raises the store's failure, or StoreError when it takes too long."""
        self._queue.put(None)
        self._thread.join(STOP_S)
        self._is_stuck = self._thread.is_alive()
        if self._is_stuck:
            raise StoreError("the store does not answer", expected=f"a commit within {STOP_S:g} s", found="none")
        self._check()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _woken(self, _: int) -> None:
        os.eventfd_read(self._wake_fd)
        self._check()
        if self._on_finished is not None:
            self._on_finished()

    def _write(self) -> None:
        try:
            while self._write_batch():
                pass
        except Exception as error:
            self._failure = error  # raised again where it is seen
            os.eventfd_write(self._wake_fd, 1)

    def _write_batch(self) -> bool:
        """Collect a batch and commit it; False at the end."""
        rows: list[Row] = []
        item = self._queue.get()
        due_s = time.monotonic() + BATCH_S
        while isinstance(item, list):
            rows += item
            if len(rows) >= BATCH_ROWS:
                break
            try:
                item = self._queue.get(timeout=max(0.0, due_s - time.monotonic()))
            except queue.Empty:
                break
        end = item if isinstance(item, tuple) else None
        self._store.add(rows, end)
        if end is not None:
            os.eventfd_write(self._wake_fd, 1)
        return item is not None
