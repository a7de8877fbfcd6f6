"""The twin: a scenario played simulated, with the protocol, lines and random numbers of the real run.

Two engines: SimPy plays everything; the compiled one plays large fleets where nobody waits for anybody.
"""

from hostemu.sim.engines import EngineChoice, EngineName, choose_engine
from hostemu.sim.fleet import simulate_fleet
from hostemu.sim.simulate import simulate

__all__ = ["EngineChoice", "EngineName", "choose_engine", "simulate", "simulate_fleet"]
