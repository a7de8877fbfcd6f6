"""The twin: a scenario played in SimPy, with the protocol, lines and random numbers of the real run."""

from hostemu.sim.simulate import simulate

__all__ = ["simulate"]
