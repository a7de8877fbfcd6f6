"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# Machines are noisy: how long an example takes says nothing.  Speed is measured in tests/bench.
settings.register_profile("hostemu", deadline=None)
settings.load_profile("hostemu")
