"""Host facts and load: computed from the kernel's files as they are documented."""

from __future__ import annotations

import json
import os
import time
import tomllib
from pathlib import Path

import pytest

from hostemu.measure.host import LoadMonitor, Sample, Ticks, host_facts, read_sample, summarise


def one_core(busy: int, idle: int, steal: int = 0, swapped: int = 0) -> Sample:
    """A machine with one core."""
    return Sample({0: Ticks(busy, idle, steal)}, swapped)


def write_proc(proc: Path, rows: dict[str, tuple[int, ...]], swap: tuple[int, int] = (0, 0)) -> None:
    """The files that a monitor reads."""
    (proc / "stat").write_text(
        "".join(f"{name} {' '.join(map(str, row))}\n" for name, row in rows.items()) + "ctxt 1\n"
    )
    (proc / "vmstat").write_text(f"nr_free_pages 7\npswpin {swap[0]}\npswpout {swap[1]}\n")


def test_host_facts_are_those_of_this_machine_and_hold_no_names() -> None:
    facts = host_facts()
    assert facts["cores"] == len(os.sched_getaffinity(0))
    assert facts["memory_bytes"] > facts["memory_available_bytes"] > 0  # type: ignore[operator]
    assert facts["kernel"] == os.uname().release
    assert facts["numpy"]
    assert os.uname().nodename not in facts.values()
    assert json.loads(json.dumps(facts)) == facts


def test_host_facts_come_from_the_kernels_files(tmp_path: Path) -> None:
    files = {
        "proc/cpuinfo": "processor : 0\nmodel name : Test CPU 3000\nflags : fpu hypervisor\n\nmodel name : Second\n",
        "proc/meminfo": "MemTotal:    2048 kB\nMemAvailable: 1024 kB\nSwapTotal:   0 kB\n",
        "sys/class/dmi/id/sys_vendor": "Maker\n",
        "sys/class/dmi/id/product_name": "Box\n",
        "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
        "sys/fs/cgroup/cpu.max": "150000 100000\n",
        ".dockerenv": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    facts = host_facts(tmp_path)
    expected = {
        "cpu_model": "Test CPU 3000",
        "memory_bytes": 2 * 2**20,
        "memory_available_bytes": 2**20,
        "swap_bytes": 0,
        "virtual_machine": True,
        "hypervisor": "Maker Box",
        "container": True,
        "clock_source": "tsc",
        "cpu_quota_cores": 1.5,
    }
    assert {name: facts[name] for name in expected} == expected


def test_a_machine_that_tells_nothing_still_has_facts(tmp_path: Path) -> None:
    facts = host_facts(tmp_path)
    assert facts["cpu_model"] == os.uname().machine
    assert (facts["virtual_machine"], facts["container"], facts["clock_source"]) == (False, False, "")
    assert "cpu_quota_cores" not in facts


def test_facts_fit_into_toml() -> None:
    facts = host_facts()
    assert tomllib.loads("".join(f"{name} = {json.dumps(value)}\n" for name, value in facts.items())) == facts


def test_load_is_computed_from_counters() -> None:
    samples = [one_core(0, 0, 0, 5), one_core(98, 2, 0, 5), one_core(98, 100, 2, 9)]
    load = summarise(samples, one_core(198, 100, 2, 10))
    assert load["windows"] == 2
    assert load["mean_busy"] == 198 / 300
    assert load["max_busy"] == 0.98
    assert load["saturated_share"] == 0.5
    assert load["steal_fraction"] == 2 / 300
    assert load["swapped_pages"] == 5


def test_one_busy_core_of_two_is_no_saturation_but_is_shown() -> None:
    samples = [
        Sample({0: Ticks(0, 0, 0), 3: Ticks(0, 0, 0)}, 0),
        Sample({0: Ticks(100, 0, 0), 3: Ticks(0, 100, 0)}, 0),
    ]
    load = summarise(samples, samples[-1])
    assert (load["mean_busy"], load["saturated_share"], load["core_busy"]) == (0.5, 0.0, [1.0, 0.0])


def test_stolen_time_saturates_too() -> None:
    load = summarise([one_core(0, 0)], one_core(50, 0, steal=50))
    assert (load["windows"], load["mean_busy"], load["steal_fraction"], load["saturated_share"]) == (1, 0.5, 0.5, 1.0)


def test_counters_that_stand_still_or_run_backwards_are_no_load() -> None:
    load = summarise([one_core(10, 10), one_core(10, 10)], one_core(10, 9))
    assert (load["mean_busy"], load["max_busy"], load["steal_fraction"]) == (0.0, 0.0, 0.0)


def test_a_core_that_comes_or_goes_is_left_out() -> None:
    first, last = Sample({0: Ticks(0, 0, 0), 1: Ticks(5, 5, 0)}, 0), Sample({0: Ticks(9, 1, 0), 2: Ticks(7, 0, 0)}, 0)
    assert summarise([first], last)["core_busy"] == [0.9]


def test_only_usable_cores_are_read(tmp_path: Path) -> None:
    row = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
    write_proc(tmp_path, {"cpu": row, "cpu0": row, "cpu1": row, "cpu12": row}, (11, 22))
    sample = read_sample(tmp_path, frozenset({1, 12}))
    assert sample == Sample({1: Ticks(19, 9, 8), 12: Ticks(19, 9, 8)}, 33)


def test_a_monitor_covers_the_time_that_it_was_open(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    write_proc(tmp_path, {f"cpu{core}": (0,) * 8})
    with LoadMonitor(window_s=3600.0, proc=tmp_path) as monitor:
        write_proc(tmp_path, {f"cpu{core}": (60, 0, 0, 40, 0, 0, 0, 0)})
        monitor.sample()
        assert monitor.summary()["mean_busy"] == pytest.approx(0.6)
        write_proc(tmp_path, {f"cpu{core}": (60, 0, 0, 140, 0, 0, 0, 0)}, (0, 3))
    write_proc(tmp_path, {f"cpu{core}": (999, 0, 0, 140, 0, 0, 0, 0)}, (99, 99))
    load = monitor.summary()
    assert (load["mean_busy"], load["max_busy"], load["swapped_pages"]) == (0.3, 0.6, 3)


def test_a_monitor_sees_a_busy_core() -> None:
    with LoadMonitor(window_s=0.1) as monitor:
        before_s = time.process_time()
        while time.process_time() - before_s < 0.3:
            pass
    load = monitor.summary()
    assert load["windows"] >= 2
    assert max(load["core_busy"]) > 0.0
    assert 0.0 < load["mean_busy"] <= 1.0
