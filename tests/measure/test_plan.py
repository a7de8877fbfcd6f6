"""Plans of campaigns: complete, random but reproducible, and without what is done."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.measure.definition import BARE_HOST
from hostemu.measure.plan import LOOPBACK, Block, Cell, cells, expected_s, plan, remaining
from tests.measure.builders import IPERF, TRAFFIC, campaign

BACKENDS = ("host", "netns", "uml", "qemu", "kvm")


some_backends = st.lists(st.sampled_from(BACKENDS), unique=True, min_size=1)
seeds = st.integers(0, 2**62)


def points(blocks: list[Block]) -> list[tuple[Cell, int]]:
    return [(block.cell, repeat) for block in blocks for repeat in block.repeats]


@given(backends=some_backends, seed=seeds)
def test_every_repeat_of_every_cell_is_planned_once(backends: list[str], seed: int) -> None:
    made = campaign(seed=seed)
    count = Counter(points(plan(made, backends)))
    wanted = {
        (cell, repeat)
        for cell in cells(made, backends)
        for repeat in range(1, getattr(made, cell.figure).repeats + 1)
    }
    assert set(count) == wanted
    assert set(count.values()) <= {1}


@given(backends=some_backends, extra=some_backends, seed=seeds)
def test_more_backends_leave_the_order_of_the_others(backends: list[str], extra: list[str], seed: int) -> None:
    made = campaign(seed=seed)
    few = plan(made, backends)
    many = plan(made, list(dict.fromkeys([*extra, *backends])))
    assert [block for block in many if block.cell.backend in backends] == few


def test_the_order_is_random_depends_on_the_seed_and_mixes_backends() -> None:
    first, again, other = (plan(campaign(seed=seed), BACKENDS) for seed in (1, 1, 2))
    listed = plan(campaign(order="listed"), BACKENDS)
    assert first == again
    assert first != other
    assert first != listed
    assert set(first) == set(other) == set(listed)
    assert len({block.cell.backend for block in first[: len(first) // 3]}) > 1


def test_one_guest_serves_several_repeats_after_its_warm_up() -> None:
    blocks = [block for block in plan(campaign(order="listed"), ["netns"]) if block.cell.figure == "iperf"]
    assert [block.repeats for block in blocks if ("wiring", "gine") in block.cell.parameters] == [
        (1, 2),
        (3, 4),
        (5,),
    ]
    assert {block.warm_up for block in blocks} == {1}
    assert all(
        len(block.repeats) == 1 and not block.warm_up
        for block in plan(campaign(), ["netns"])
        if block.cell.figure != "iperf"
    )


def test_the_bare_host_has_a_loopback_and_no_guests() -> None:
    found = list(cells(campaign(), [BARE_HOST]))
    assert found == [Cell("iperf", BARE_HOST, (("wiring", LOOPBACK),))]


def test_each_of_several_values_is_a_cell_and_a_single_one_is_as_if_there_were_none() -> None:
    single = list(cells(campaign(iperf={**IPERF, "clients": 7}), ["host", "uml"]))
    several = [str(cell) for cell in cells(campaign(iperf={**IPERF, "clients": [7, 1]}), ["host", "uml"])]
    assert single == list(cells(campaign(), ["host", "uml"]))
    assert several[:4] == [
        "iperf, host, wiring loopback, clients 7",
        "iperf, host, wiring loopback, clients 1",
        "iperf, uml, wiring direct, clients 7",
        "iperf, uml, wiring direct, clients 1",
    ]


def test_routers_are_guests_and_the_emulator_once() -> None:
    made = campaign(iperf=None, boot=None, memory=None, guests=None, costs=None, router={**TRAFFIC, "payload": 18})
    assert [str(cell) for cell in cells(made, BACKENDS)] == [
        "router, netns, wiring direct",
        "router, netns, wiring gine",
        "router, uml, wiring direct",
        "router, qemu, wiring direct",
        "router, kvm, wiring direct",
    ]


def test_parameters_are_written_as_people_write_them() -> None:
    names = {str(cell) for cell in cells(campaign(), ["uml"])}
    assert {
        "iperf, uml, wiring direct",
        "memory, uml, memory 16 MiB",
        "guests, uml, budget 2 GiB",
        "guests, uml, share 0.5",
        "boot, uml",
        "costs, uml, scenario cost-exchange",
    } <= names


@given(backends=some_backends, data=st.data())
def test_what_is_done_is_not_planned_again(backends: list[str], data: st.DataObject) -> None:
    blocks = plan(campaign(), backends)
    done: dict[Cell, set[int]] = {}
    for cell, repeat in data.draw(st.lists(st.sampled_from(points(blocks)), unique=True)):
        done.setdefault(cell, set()).add(repeat)
    left = points(remaining(blocks, done))
    assert set(left) == {point for point in points(blocks) if point[1] not in done.get(point[0], ())}
    assert left == [point for point in points(blocks) if point in set(left)]


@pytest.mark.parametrize("cell", list(cells(campaign(), BACKENDS)), ids=str)
def test_a_cell_survives_the_journal(cell: Cell) -> None:
    assert Cell.from_json(cell.as_json()) == cell


def test_a_block_takes_the_longer_the_more_it_measures() -> None:
    made = campaign()
    cell = Cell("iperf", "netns", (("wiring", "gine"),))
    assert expected_s(made, Block(cell, (1, 2, 3))) > expected_s(made, Block(cell, (1,))) > 1
    assert all(expected_s(made, block) > 0 for block in plan(made, BACKENDS))
