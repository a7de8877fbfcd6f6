"""Forecasts of what a real run will need here: fitted to the scenario played in small, checked against real use."""
