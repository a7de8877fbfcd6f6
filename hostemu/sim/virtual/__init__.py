"""Virtual time: guests whose clocks belong to the simulation.

User-mode Linux can leave its clock to an outside calendar (kernel: include/uapi/linux/um_timetravel.h), and have
network interfaces served by another process (vhost-user).  Here one thread does both: it grants guests time, takes
their frames, and moves those along GINE's lines, switches and routers by the same clock.
"""

from hostemu.sim.virtual.calendar import Calendar

__all__ = ["Calendar"]
