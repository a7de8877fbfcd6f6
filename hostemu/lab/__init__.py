"""The sandbox in which everything of a run lives, and with which it ends."""

from hostemu.lab.netns import NetNamespace
from hostemu.lab.nic import Nic, nic_kind
from hostemu.lab.sandbox import call_in_lab, lab_possible

__all__ = ["NetNamespace", "Nic", "call_in_lab", "lab_possible", "nic_kind"]
