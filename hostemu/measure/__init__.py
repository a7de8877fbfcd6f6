"""Measurements of this machine: facts, load, costs."""
