"""The thread that carries a network's frames, and what it has counted."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import threading
import time
from types import TracebackType

from hostemu.base.errors import HostError, InputError, RunError
from hostemu.gine import audit, counters
from hostemu.gine.assemble import assemble
from hostemu.gine.health import EngineHealth, NamedLineCounters, NodeCounters, late_quantile_ns
from hostemu.gine.loop import run
from hostemu.gine.network import Network
from hostemu.gine.shared import Shared
from hostemu.gine.world import DROP_NO_SLOT, HELD

STOP_S = 5.0
_FEWEST_FRAMES = 256
_FIRST_EARLY_NS = 50_000
_PR_SET_TIMERSLACK = 29  # prctl(2)


def compile_engine() -> None:
    """Compile the engine, which takes some 20 s, or load what was compiled before, in less than one."""
    world = assemble(Network(seed=0), _FEWEST_FRAMES)
    world.state.stop = 1
    run(Shared(world).address)


class Engine:
    """Carries the frames of `network` while the context lasts.

    frames: slots of the pool, each for a frame of up to 64 KB; only slots that were used take memory.
    longest_early_ns: the thread wakes up before a frame is due and spins for the rest.  How early follows what
        the kernel's timers have been late, up to this.
    realtime_priority: SCHED_FIFO priority, 1 to 99; None: leave the scheduler as it is.

    Counters may be read at any time, and after the end; they add up exactly when the engine has stopped.
    """

    def __init__(
        self,
        network: Network,
        *,
        frames: int = 32768,
        longest_early_ns: int = 250_000,
        realtime_priority: int | None = None,
    ) -> None:
        if frames < _FEWEST_FRAMES:
            raise InputError(
                "the pool of frames is too small", expected=f"at least {_FEWEST_FRAMES}", found=str(frames)
            )
        if not 0 <= longest_early_ns <= 1_000_000:
            raise InputError(
                "the engine cannot wake up that early", expected="0 to 1 ms", found=f"{longest_early_ns} ns"
            )
        self.network = network
        self._realtime_priority = realtime_priority
        self._world = assemble(network, frames)
        self._world.state.longest_early_ns = longest_early_ns
        self._world.state.early_ns = min(_FIRST_EARLY_NS, longest_early_ns)
        self._shared = Shared(self._world)
        self._slots = frames
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._begin_ns = self._wall_ns = self._cpu_ns = 0
        self._resources = contextlib.ExitStack()

    def __enter__(self) -> Engine:
        state = self._world.state[0]
        state.stop = 1
        run(self._shared.address)  # compiles it, or loads it from the cache
        state.stop = 0
        with contextlib.ExitStack() as resources:
            self._open_epoll(resources)
            self._thread = threading.Thread(target=self._work, name="gine", daemon=True)
            self._begin_ns = time.monotonic_ns()
            self._thread.start()
            self._resources = resources.pop_all()
        self._ready.wait()
        if self._failure is not None:
            self.stop()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _open_epoll(self, resources: contextlib.ExitStack) -> None:
        epoll = resources.enter_context(select.epoll())
        wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        resources.callback(os.close, wake_fd)
        epoll.register(wake_fd, select.EPOLLIN)
        for port in self.network.ports:
            if port.host is not None:
                continue
            try:
                os.set_blocking(port.fd, False)
                epoll.register(port.fd, select.EPOLLIN)
            except OSError as error:
                raise InputError(
                    f"port {port.name!r} is no open TAP or packet socket",
                    expected="a file descriptor that can be waited for",
                    found=f"{port.fd}: {error.strerror}",
                ) from error
        self._world.state[0].epoll = epoll.fileno()
        self._world.state[0].wake_fd = wake_fd

    def _work(self) -> None:
        try:
            ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
            self._become_realtime()
            self._ready.set()
            run(self._shared.address)
            if self._world.state[0].failed_errno:
                text = os.strerror(int(self._world.state[0].failed_errno))
                raise RunError("the engine could not wait for its ports", found=text)
        except BaseException as error:  # raised again by check and stop, in the caller's thread
            self._failure = error
        finally:
            self._cpu_ns = time.thread_time_ns()
            self._ready.set()

    def _become_realtime(self) -> None:
        if self._realtime_priority is None:
            return
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(self._realtime_priority))
        except OSError as error:
            raise HostError(
                "the engine may not have a real-time priority",
                found=error.strerror,
                hint="run as root, or raise RLIMIT_RTPRIO, or do without realtime_priority",
            ) from error

    def check(self) -> None:
        """Raise the error that ended the engine's thread, if one has."""
        if self._failure is not None:
            raise self._failure
        if self._thread is not None and not self._thread.is_alive():
            raise RunError("the engine's thread has ended before it was told to")

    def stop(self) -> None:
        """End the thread; again is harmless.  Raises what ended it early, and RunError when it does not end."""
        if self._thread is None:
            return
        self._world.state[0].stop = 1
        os.eventfd_write(int(self._world.state[0].wake_fd), 1)
        self._thread.join(STOP_S)
        if self._thread.is_alive():
            raise RunError("the engine does not stop", expected=f"an end within {STOP_S} s", found="none")
        self._wall_ns = time.monotonic_ns() - self._begin_ns
        self._thread = None
        self._resources.close()
        if self._failure is not None:
            raise self._failure

    def line_counters(self) -> list[NamedLineCounters]:
        """Packets and bytes of every line, in the order of the links, forward before backward."""
        return counters.of_lines(self._world, self.network)

    def node_counters(self) -> list[NodeCounters]:
        """Packets at every port, switch and router."""
        return counters.of_nodes(self._world, self.network)

    def imbalances(self) -> list[str]:
        """After the end: every sum of counters that does not add up, in words.  There should be none."""
        if self._thread is not None:
            raise RunError("counters are balanced when the engine has stopped", hint="call stop() first")
        return audit.imbalances(self._world, self.network)

    def health(self) -> EngineHealth:
        """How the engine has done so far."""
        world = self._world
        state, ports, late = world.state[0], world.ports, world.lateness.copy()
        wall_ns, cpu_ns = self._times_ns()
        return EngineHealth(
            late_p50_ns=late_quantile_ns(late, 0.50),
            late_p90_ns=late_quantile_ns(late, 0.90),
            late_p99_ns=late_quantile_ns(late, 0.99),
            late_max_ns=int(state.late_max_ns),
            late_over_1ms=int(state.late_over_1ms),
            frames_read=int(state.frames_read),
            frames_written=int(state.frames_written),
            packets_read=int(ports.packets_read.sum()),
            packets_written=int(ports.packets_written.sum()),
            malformed=int(ports.malformed.sum()),
            pool_exhausted=int(state.pool_exhausted),
            packets_discarded=int(state.packets_discarded + world.tally[:, DROP_NO_SLOT].sum()),
            write_errors=int(state.write_errors),
            down_errors=int(state.down_errors),
            ports_closed=int(ports.closed.sum()),
            wakeups=int(state.wakeups),
            cpu_ns=cpu_ns,
            spun_ns=int(state.spun_ns),
            busy=cpu_ns / max(1, wall_ns),
            slots=self._slots,
            slots_used=self._slots - int(state.lowest_free),
        )

    def _times_ns(self) -> tuple[int, int]:
        """Wall and CPU time of the thread so far."""
        thread = self._thread
        if thread is None or thread.ident is None or not thread.is_alive():
            return self._wall_ns, self._cpu_ns
        cpu_ns = time.clock_gettime_ns(time.pthread_getcpuclockid(thread.ident))
        return time.monotonic_ns() - self._begin_ns, cpu_ns

    def held_packets(self) -> int:
        """Packets that wait in routers for their next hops to answer."""
        return int(self._world.tally[:, HELD].sum())
