"""Plays a scenario: who gets which address, which guest runs what, and whether the run can be believed."""
