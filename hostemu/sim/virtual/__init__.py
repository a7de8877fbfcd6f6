"""Virtual time: guests whose clocks belong to the simulation.

User-mode Linux can leave its clock to an outside calendar (kernel: include/uapi/linux/um_timetravel.h), and have
network interfaces served by another process (vhost-user).  Here one thread does both: it grants guests time, takes
their frames, and moves those along GINE's lines, switches and routers by the same clock.  There may
be hosts among the guests that are played by SimPy processes.
"""

from hostemu.sim.virtual.calendar import Calendar
from hostemu.sim.virtual.simpy_host import SimpyHost

__all__ = ["Calendar", "SimpyHost"]
