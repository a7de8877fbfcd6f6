"""Emulate many real hosts on one machine, measure them, and simulate the same scenario at any scale."""

__version__ = "0.1.0"
