"""The compiled engine for large fleets: the twin's semantics in closed form, where lines have no rate.

On such lines nobody waits for another's frames: a terminal's story depends on its own power cycle, on what is lost of
it, and on the moment at which it is first called.  So it is worked out in one go, without events, or attempt by
attempt.  `obstacles` says what a scenario has that this engine does not play; the SimPy engine plays everything, and
is the reference.
"""

from hostemu.sim.fleet.engine import simulate_fleet
from hostemu.sim.fleet.support import obstacles

__all__ = ["obstacles", "simulate_fleet"]
