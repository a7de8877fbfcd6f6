"""What all tests share."""

from __future__ import annotations

import signal

from hypothesis import settings

# Machines are noisy: how long an example takes says nothing.  Speed is measured in tests/bench.
settings.register_profile("hostemu", deadline=None)
settings.load_profile("hostemu")

# What a script starts in its background ignores SIGINT, and hands that on; programs of tests are to be interrupted.
signal.signal(signal.SIGINT, signal.default_int_handler)
