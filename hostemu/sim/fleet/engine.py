"""`simulate_fleet`: a scenario in, a run record out, as `simulate` does it, for fleets of any size."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import numba
import numpy as np

from hostemu import __version__
from hostemu.base.errors import InputError
from hostemu.measure.costs import NO_COSTS
from hostemu.protocol.reasons import Reason
from hostemu.records import TERMINAL, RunRecord
from hostemu.scenario import Scenario
from hostemu.sim.fleet.accounts import Books, delays_of
from hostemu.sim.fleet.command import command_times
from hostemu.sim.fleet.lists import play_lists
from hostemu.sim.fleet.rules import off_keys, rules_of
from hostemu.sim.fleet.support import obstacles
from hostemu.sim.fleet.terminal import Counts, Table

ROW_PER_TERMINAL = 20_000_000
"""Fleets up to this size have a row for every terminal in their record; larger ones have a tally."""

TERMINALS_AT_A_TIME = 100_000
"""About so many are played between two reports of progress."""

NO_KEYS = np.zeros(1, np.uint64)

OnProgress = Callable[[int, int, int], None]


def simulate_fleet(
    scenario: Scenario,
    *,
    seed: int | None = None,
    threads: int | None = None,
    rows: bool | None = None,
    on_progress: OnProgress | None = None,
) -> RunRecord:
    """Play the scenario by the compiled engine.

    seed: as in `simulate`.  threads: that share the lists; as many as there are cores when None.
    rows: whether the record has a row for every terminal, else a tally; None: up to ROW_PER_TERMINAL.
    on_progress: called with (0, retrieved, failed) of the terminals that have been played so far.

    Every terminal's outcome, reason and attempts are those of `simulate`; times differ by the nanoseconds that frames
    of one moment keep between each other there.  Tables of lines, hosts and refusals stay empty.
    Raises InputError for a scenario that has `obstacles`.
    """
    found = obstacles(scenario, NO_COSTS)
    if found:
        raise InputError("the compiled engine cannot play this scenario", found="; ".join(found))
    fleet = _Fleet(scenario, scenario.seed if seed is None else seed, rows)
    fleet.play(len(os.sched_getaffinity(0)) if threads is None else threads, on_progress)
    return fleet.record()


class _Fleet:
    """The lists of a scenario, played and accounted for."""

    def __init__(self, scenario: Scenario, seed: int, rows: bool | None) -> None:
        self._scenario = scenario
        self._seed = seed
        self._rules = rules_of(scenario, seed)
        self._list_size = scenario.retrieval.list_size
        self._total = scenario.fleet.terminals
        self._lists = scenario.isp_programs
        last = self._total - (self._lists - 1) * self._list_size
        given_ns, self._last_begins_ns = command_times(scenario, last)
        whole = self._lists > 1 and last < self._list_size
        self._begins_ns = command_times(scenario, self._list_size)[1] if whole else self._last_begins_ns
        self._books = Books(delays_of(scenario, given_ns))
        self._ended = np.zeros(max(Reason) + 1, np.int64)
        has_rows = self._total <= ROW_PER_TERMINAL if rows is None else rows
        self._table = np.zeros(self._total if has_rows else 0, TERMINAL)

    def play(self, threads: int, on_progress: OnProgress | None) -> None:
        """Play every list; threads take some lists at a time."""
        step = max(1, TERMINALS_AT_A_TIME // self._list_size)
        with ThreadPoolExecutor(threads) as pool:
            for ended, books in pool.map(self._play, range(0, self._lists, step), repeat(step)):
                self._ended += ended
                self._books.add(books)
                if on_progress is not None:
                    on_progress(0, *map(int, self._books.progress.sum(axis=0)))

    def _play(self, low: int, lists: int) -> tuple[Counts, Books]:
        high = min(low + lists, self._lists)
        first, end = low * self._list_size, min(high * self._list_size, self._total)
        table: Table = self._table[first:end] if len(self._table) else np.zeros(end - first, TERMINAL)
        begins_ns = np.full(high - low, self._begins_ns, np.int64)
        if high == self._lists:
            begins_ns[-1] = self._last_begins_ns
        keys = off_keys(self._seed, first, end - first) if self._rules.redraws else NO_KEYS
        ended, books = np.zeros_like(self._ended), Books(self._books.delays)
        play_lists(self._rules, self._list_size, low, keys, begins_ns, table, ended)
        books.enter(table, first)
        return ended, books

    def record(self) -> RunRecord:
        """What the center knows in the end."""
        books = self._books
        record = RunRecord(
            mode="simulated",
            backend="simulated",
            engine="fleet",
            scenario_name=self._scenario.name,
            scenario_text=self._scenario.to_toml(),
            seed=self._seed,
            version=__version__,
            complete=True,
            makespan_ns=books.last_ns,
            terminals=self._table,
            progress=books.progress_table(),
            extra={"attempts_by_reason": self._attempts(), "numba": numba.__version__},
        )
        if not len(self._table):
            record.tally, record.times = books.tally_table(), books.times_table()
        return record

    def _attempts(self) -> dict[str, int]:
        return {Reason(int(k)).name.lower(): int(self._ended[k]) for k in np.flatnonzero(self._ended)}
