"""Networks that cannot work are refused, and say why; engines begin and end in order."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from hostemu.base.deadline import Deadline
from hostemu.base.errors import HostError, InputError, RunError
from hostemu.gine import Engine, Network
from hostemu.gine.assemble import assemble
from hostemu.gine.health import bucket_end_ns, late_quantile_ns
from hostemu.gine.loop import adapt_early_ns, lateness_bucket
from hostemu.gine.world import LATENESS_BUCKETS
from hostemu.lines import LineSpec

MAC = "02:00:00:00:00:01"


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def same_name_twice(network: Network) -> None:
    network.switch("a")
    network.router("a")


def same_fd_twice(network: Network) -> None:
    network.port("a", 5)
    network.port("b", 5)


def port_with_two_lines(network: Network) -> None:
    port = network.port("a", 5)
    network.connect(port, network.switch("b"))
    network.connect(port, network.switch("c"))


def loop_of_switches(network: Network) -> None:
    a, b, c = (network.switch(name) for name in "abc")
    network.connect(a, b)
    network.connect(b, c)
    network.connect(c, a)


def parallel_switch_lines(network: Network) -> None:
    a, b = network.switch("a"), network.switch("b")
    network.connect(a, b, name="one")
    network.connect(a, b, name="other")


def line_to_itself(network: Network) -> None:
    switch = network.switch("a")
    network.connect(switch, switch)


def same_link_name_twice(network: Network) -> None:
    network.connect(network.switch("a"), network.switch("b"), name="x")
    network.connect(network.switch("c"), network.switch("d"), name="x")


def router_without_interface(network: Network) -> None:
    network.connect(network.switch("a"), network.router("r"))


def port_without_line(network: Network) -> None:
    network.port("a", 5)


def node_of_another_network(network: Network) -> None:
    network.connect(network.switch("a"), Network(1).switch("b"))


def dressed(network: Network, *addresses: str, mac: str = MAC) -> None:
    router = network.router("r")
    link = network.connect(network.switch("a"), router)
    router.interface(link, mac=mac, addresses=addresses)


def one_subnet_twice(network: Network) -> None:
    router = network.router("r")
    for k in (1, 2):
        link = network.connect(network.switch(f"s{k}"), router)
        router.interface(link, mac=MAC, addresses=[f"10.0.0.{k}/24"])


def interface_on_a_foreign_link(network: Network) -> None:
    link = network.connect(network.switch("a"), network.switch("b"))
    network.router("r").interface(link, mac=MAC, addresses=())


def next_hop_out_of_reach(network: Network) -> None:
    dressed(network, "10.0.0.1/30")
    network.routers[0].route("10.1.0.0/16", via="10.0.0.5")


def own_next_hop(network: Network) -> None:
    dressed(network, "10.0.0.1/30")
    network.routers[0].route("10.1.0.0/16", via="10.0.0.1")


def two_families_in_a_route(network: Network) -> None:
    dressed(network, "10.0.0.1/30")
    network.routers[0].route("fd00::/64", via="10.0.0.2")


def foreign_neighbour(network: Network) -> None:
    dressed(network, "10.0.0.1/30")
    network.routers[0].neighbour("10.9.0.2", MAC)


@pytest.mark.parametrize(
    "draw",
    [
        same_name_twice,
        same_fd_twice,
        port_with_two_lines,
        loop_of_switches,
        parallel_switch_lines,
        line_to_itself,
        same_link_name_twice,
        router_without_interface,
        port_without_line,
        node_of_another_network,
        interface_on_a_foreign_link,
        next_hop_out_of_reach,
        own_next_hop,
        two_families_in_a_route,
        foreign_neighbour,
        one_subnet_twice,
        lambda network: dressed(network, "10.0.0.300/30"),
        lambda network: dressed(network, "fe80::1/64"),
        lambda network: dressed(network, mac="03:00:00:00:00:01"),
        lambda network: dressed(network, mac="00:00:00:00:00:00"),
        lambda network: dressed(network, mac="2:0:0:0:0:1"),
    ],
)
def test_an_impossible_network_is_refused(draw: Callable[[Network], object]) -> None:
    network = Network(seed=1)

    def draw_and_assemble() -> None:
        draw(network)
        assemble(network, 256)

    with pytest.raises(InputError):
        draw_and_assemble()


def test_a_tree_of_switches_with_routers_between_is_accepted() -> None:
    network = Network(seed=1)
    a, b, c = (network.switch(name) for name in "abc")
    network.connect(a, b, forward=LineSpec(delay_ns=5))
    network.connect(a, c)
    router = network.router("r")
    for k, switch in enumerate((b, c)):
        link = network.connect(switch, router)
        router.interface(link, mac=f"02:00:00:00:00:0{k}", addresses=[f"10.{k}.0.1/24"])
    router.route("0.0.0.0/0", via="10.1.0.2")
    router.neighbour("10.1.0.2", MAC)
    world = assemble(network, 256)
    assert world.lines.delay_ns.tolist() == [5, 0, 0, 0, 0, 0, 0, 0]
    assert world.switches.count[:3].tolist() == [2, 2, 2]


def test_an_engine_without_ports_starts_and_stops_again_and_again() -> None:
    network = Network(seed=1)
    network.connect(network.switch("a"), network.switch("b"))
    open_before = open_files()
    for _ in range(3):
        with Engine(network) as engine:
            engine.check()
        engine.stop()
        assert engine.imbalances() == []
    assert open_files() == open_before


def test_a_port_that_cannot_be_waited_for_is_refused_and_nothing_stays_open() -> None:
    network = Network(seed=1)
    network.connect(network.port("a", 9999), network.switch("b"))
    open_before = open_files()
    with pytest.raises(InputError, match="port 'a'"), Engine(network):
        pass
    assert open_files() == open_before


def test_a_port_whose_other_side_has_gone_is_closed_and_the_engine_goes_on() -> None:
    network = Network(seed=1)
    reader, writer = os.pipe()
    network.connect(network.port("a", reader), network.switch("b"))
    with Engine(network) as engine:
        os.write(writer, bytes(5))
        os.close(writer)
    health = engine.health()
    assert health.malformed <= 1
    assert health.ports_closed <= 1
    assert engine.imbalances() == []
    os.close(reader)


def test_an_error_in_the_thread_surfaces() -> None:
    network = Network(seed=1)
    network.connect(network.switch("a"), network.switch("b"))
    engine = Engine(network)
    with contextlib.ExitStack() as stack:
        stack.enter_context(engine)
        engine._world.state[0].epoll = -1
        Deadline.after(10, "the error").wait_until(lambda: engine._failure is not None)
        for surfaces in (engine.check, stack.close):
            with pytest.raises(RunError, match="wait for its ports"):
                surfaces()
    engine.stop()


def test_a_real_time_priority_is_had_or_refused() -> None:
    network = Network(seed=1)
    network.connect(network.switch("a"), network.switch("b"))
    may = os.geteuid() == 0 or resource.getrlimit(resource.RLIMIT_RTPRIO)[0] >= 1
    with (
        contextlib.nullcontext() if may else pytest.raises(HostError),
        Engine(network, realtime_priority=1) as engine,
    ):
        engine.check()
    with pytest.raises(HostError, match="real-time"), Engine(network, realtime_priority=1000):
        pass


def test_a_pool_too_small_is_refused() -> None:
    with pytest.raises(InputError, match="pool"):
        Engine(Network(seed=1), frames=10)


def test_lateness_buckets_are_narrow_and_in_order() -> None:
    previous = -1
    for late_ns in [*range(5000), *(2**k + d for k in range(13, 62) for d in (-1, 0, 1))]:
        bucket = lateness_bucket(late_ns)
        assert 0 <= bucket < LATENESS_BUCKETS
        assert bucket >= previous
        assert late_ns <= bucket_end_ns(bucket) <= late_ns * 17 // 16 + 1
        previous = bucket
    assert lateness_bucket(-5) == 0


def test_quantiles_come_from_the_histogram() -> None:
    world = assemble(Network(seed=1), 256)
    for late_ns in range(1000):
        world.lateness[lateness_bucket(late_ns)] += 1
    assert late_quantile_ns(world.lateness, 0.5) in range(499, 532)
    assert late_quantile_ns(world.lateness, 0.99) in range(989, 1052)
    assert late_quantile_ns(0 * world.lateness, 0.5) == 0


def test_waking_early_follows_the_timers_and_stays_in_bounds() -> None:
    early_ns = 50_000
    for _ in range(100):
        early_ns = adapt_early_ns(early_ns, 80_000, 250_000)
    assert 90_000 <= early_ns <= 95_000
    for _ in range(100):
        early_ns = adapt_early_ns(early_ns, 10_000_000, 250_000)
    assert early_ns == 250_000
    for _ in range(1000):
        early_ns = adapt_early_ns(early_ns, 1_000, 250_000)
    assert early_ns < 20_000
