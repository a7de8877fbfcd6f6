"""Workloads: any programs on any hosts around a router, and what stands for them in the simulator.

A workload file says `kind = "workload"`.  In commands, {own} is a folder that the program may write in, {folder} the
folder of the workload's files, {number} the host's number in its group, and {GROUP} the address of that group's first
host.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from hostemu.base.errors import ScenarioError
from hostemu.scenario.line import LineSettings
from hostemu.scenario.quantities import (
    SIZE,
    Duration,
    MemorySize,
    PositiveDuration,
    Quantity,
    Settings,
    inconsistent,
)
from hostemu.scenario.shelf import Shelf
from hostemu.scenario.toml import to_toml

KIND = "workload"
MAXIMUM_HOSTS = 4096
MAXIMUM_MESSAGE_BYTES = 1 << 30
OWN, FOLDER, NUMBER = "own", "folder", "number"

_PLACEHOLDER = re.compile(r"\{([a-z0-9_-]+)\}")
_GROUP_NAME = r"^[a-z][a-z0-9-]{0,31}$"

MessageSize = Annotated[int, Quantity(SIZE, 1, MAXIMUM_MESSAGE_BYTES)]
GroupName = Annotated[str, Field(pattern=_GROUP_NAME)]


class Behaviour(Settings):
    """What the simulator plays instead of a program: it asks another group's first host over TCP, or answers.

    asks: whom.  request_bytes, answer_bytes: of a question, and of its answer, headers included.
    times: questions, each over a connection of its own.  pause_ns: after each answer.
    work_ns: that an answer takes whoever gives it, one after the other.
    """

    asks: str | None = None
    request_bytes: MessageSize = Field(default=100, alias="request")
    answer_bytes: MessageSize = Field(default=1000, alias="answer")
    times: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    pause_ns: Duration = Field(default=0, alias="pause")
    work_ns: Duration = Field(default=0, alias="work")


class Group(Settings):
    """Hosts that are alike.

    memory_bytes: of a guest with a kernel of its own.  needs: commands that this machine must have.
    segmentation_offload: its kernel may send several TCP segments as one frame; in virtual time it never does.
    starts_ns: when the first one's program starts; the others' follow, stagger_ns apart.
    ends: the run waits until these programs have ended; others are ended with it.
    values: "stdout": each line of a program's output is a number, which is a measured value.
    """

    count: Annotated[int, Field(ge=1, le=MAXIMUM_HOSTS)] = 1
    command: Annotated[tuple[str, ...], Field(min_length=1, strict=False)]
    needs: Annotated[tuple[str, ...], Field(strict=False)] = ()
    memory_bytes: MemorySize = Field(default=64 * 2**20, alias="memory")
    line: LineSettings = LineSettings()
    segmentation_offload: bool = True
    starts_ns: Duration = Field(default=0, alias="starts")
    stagger_ns: Duration = Field(default=0, alias="stagger")
    ends: bool = True
    values: Literal["none", "stdout"] = "none"
    simulated: Behaviour | None = None


class Workload(Settings):
    """One workload, complete and consistent.  deadline_ns: for the whole run.  unit: of values."""

    schema_version: Literal[1] = Field(alias="schema")
    kind: Literal["workload"]
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    title: Annotated[str, Field(max_length=200)] = ""
    source: Annotated[str, Field(max_length=500)] = ""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    deadline_ns: PositiveDuration = Field(alias="deadline")
    unit: Annotated[str, Field(max_length=20)] = ""
    groups: Annotated[dict[GroupName, Group], Field(min_length=1)]

    @model_validator(mode="after")
    def _groups_fit(self) -> Self:
        if sum(group.count for group in self.groups.values()) > MAXIMUM_HOSTS:
            raise inconsistent(("groups",), f"at most {MAXIMUM_HOSTS} hosts", "more")
        if not any(group.ends for group in self.groups.values()):
            raise inconsistent(
                ("groups",), "a group whose programs end: the run waits for them", "ends = false in all"
            )
        known = {OWN, FOLDER, NUMBER, *self.groups}
        for name, group in self.groups.items():
            for word in group.command:
                for found in _PLACEHOLDER.findall(word):
                    if found not in known:
                        expected = f"one of {', '.join(sorted(known))} in braces"
                        raise inconsistent(("groups", name, "command"), expected, f"{{{found}}}")
            asks = None if group.simulated is None else group.simulated.asks
            if asks is not None and asks not in self.groups:
                expected = f"one of {', '.join(self.groups)}"
                raise inconsistent(("groups", name, "simulated", "asks"), expected, repr(asks))
        return self

    @property
    def hosts(self) -> int:
        """How many hosts there are."""
        return sum(group.count for group in self.groups.values())

    def to_toml(self) -> str:
        """The complete workload, defaults included, as a file that reads back as the same workload."""
        return to_toml(self.model_dump(mode="json", by_alias=True, exclude_none=True))


SHELF = Shelf(KIND, "workloads", Workload, "--set groups.client.count=20", ScenarioError)


def load_workload(name_or_path: str, overrides: Sequence[str] = ()) -> Workload:
    """A shipped workload by name, or one from a file; see Shelf.load."""
    return SHELF.load(name_or_path, overrides)


def folder_of(name_or_path: str) -> Path:
    """Where the workload's own files are."""
    return SHELF.find(name_or_path).resolve().parent


def is_workload(name_or_path: str) -> bool:
    """Whether this names a workload, and not a scenario."""
    if name_or_path in SHELF.names():
        return True
    path = Path(name_or_path)
    try:
        return path.is_file() and tomllib.loads(path.read_text()).get("kind") == KIND
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError):
        return False


def filled(word: str, places: dict[str, Any]) -> str:
    """A word of a command with its placeholders filled."""
    return _PLACEHOLDER.sub(lambda found: str(places[found[1]]), word)
