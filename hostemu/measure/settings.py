"""What the settings of all figures of a campaign are made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from hostemu.base.units import NS_PER_S
from hostemu.scenario.quantities import PositiveDuration, Settings

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Several = int | tuple[int, ...]
"""One value of a setting, or several that are measured one by one."""


class Figure(Settings):
    """What all figures have.

    repeats: values wanted per cell.
    start_ns: what a guest may take from its start to its first answer.
    timeout_ns: what one measurement may take, starts of guests apart.
    sysctls: set in every guest where the backend and the kernel allow it.
    copies: guests may start as copies of one that has booted, where the backend can do that.
    """

    repeats: Annotated[int, Field(ge=1, le=1000)]
    start_ns: PositiveDuration = Field(default=120 * NS_PER_S, alias="start")
    timeout_ns: PositiveDuration = Field(alias="timeout")
    sysctls: dict[str, str] = Field(default_factory=dict)
    copies: bool = False


class Shared(Figure):
    """A figure of which the guests of a cell, once started, serve several repeats.

    per_guest: so many.  warm_up: measured first in every guest, kept in the journal, left out of statistics.
    """

    per_guest: Count = 1
    warm_up: Annotated[int, Field(ge=0, le=100)] = 0


@dataclass(frozen=True)
class OneOrMore:
    """Marks a field as a whole number from `low` to `high`, or a list of different ones, each a cell of its own."""

    low: int
    high: int

    def read(self, value: Any) -> Several:
        """The number, or the numbers; a pydantic error when it is neither."""
        values = value if isinstance(value, (list, tuple)) else [value]
        if not values or len(set(map(repr, values))) < len(values) or not all(map(self._is_possible, values)):
            said = f"a whole number from {self.low} to {self.high}, or a list of different ones"
            raise PydanticCustomError("quantity", "expected {expected}", {"expected": said})
        return tuple(values) if isinstance(value, (list, tuple)) else int(value)

    def _is_possible(self, value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)


def parameters_of(name: str, given: Several) -> Iterator[tuple[tuple[str, int], ...]]:
    """The parameters that a setting adds to cells: none for a single value, else itself with each of its values."""
    if isinstance(given, int):
        yield ()
    else:
        for value in given:
            yield ((name, value),)
