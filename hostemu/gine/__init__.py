"""GINE, the network emulator: real frames between ports, through switches and routers, along lines."""

from hostemu.gine.engine import Engine, compile_engine
from hostemu.gine.health import EngineHealth, NamedLineCounters, NodeCounters
from hostemu.gine.network import Interface, Link, Network, Port, Router, Simulated, Switch
from hostemu.gine.realtime import realtime_priority

__all__ = [
    "Engine",
    "EngineHealth",
    "Interface",
    "Link",
    "NamedLineCounters",
    "Network",
    "NodeCounters",
    "Port",
    "Router",
    "Simulated",
    "Switch",
    "compile_engine",
    "realtime_priority",
]
