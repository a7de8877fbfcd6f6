"""Scenario files: what happens in a run, strictly read, with units."""

from hostemu.scenario.files import load_scenario, shipped_names
from hostemu.scenario.line import DirectedLine, LineSettings
from hostemu.scenario.model import Scenario

__all__ = ["DirectedLine", "LineSettings", "Scenario", "load_scenario", "shipped_names"]
