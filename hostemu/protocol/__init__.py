"""The retrieval protocol without I/O: bytes and `now` in, bytes and events out.

The same code serves the real programs on sockets and the simulator.  Nothing here reads a clock, a socket or a
global random source.
"""
