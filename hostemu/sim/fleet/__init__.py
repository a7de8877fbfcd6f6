"""The compiled engine for large fleets: the twin's semantics in closed form, where lines only delay and nobody waits.

On such lines a terminal's story depends on its own power cycle and on the moment at which it is first called, and on
nothing else; so it is worked out in one go, without events.  `obstacles` says what a scenario has that this engine
does not play; the SimPy engine plays everything, and is the reference.
"""

from hostemu.sim.fleet.engine import simulate_fleet
from hostemu.sim.fleet.support import obstacles

__all__ = ["obstacles", "simulate_fleet"]
