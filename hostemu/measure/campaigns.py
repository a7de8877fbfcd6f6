"""Campaign definitions: the shipped ones by name, others by path, with overrides from the command line."""

from __future__ import annotations

from collections.abc import Sequence

from hostemu.base.errors import InputError
from hostemu.measure.definition import Campaign
from hostemu.scenario.shelf import Shelf

SHELF = Shelf("campaign", "calibration", Campaign, '--set iperf.duration="5 s"', InputError)
QUICK = "-quick"


def load_campaign(name_or_path: str, overrides: Sequence[str] = (), *, quick: bool = False) -> Campaign:
    """A shipped campaign by name, or one from a file; InputError that names file, line, key and value.

    overrides: "KEY=VALUE" with a dotted key.  quick: the shipped campaign of that name with "-quick" behind it.
    """
    if quick and not name_or_path.endswith(QUICK):
        shipped = SHELF.names()
        if f"{name_or_path}{QUICK}" not in shipped:
            short = [name.removesuffix(QUICK) for name in shipped if name.endswith(QUICK)]
            raise InputError(
                f"there is no quick form of campaign {name_or_path!r}",
                expected=" or ".join(short),
                found=repr(name_or_path),
                hint="shorten it with --set, such as --set iperf.repeats=2",
            )
        name_or_path += QUICK
    return SHELF.load(name_or_path, overrides)
