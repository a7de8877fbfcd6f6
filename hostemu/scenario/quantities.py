"""Fields that are written with a unit and kept as a plain integer: "10 ms" ↔ 10000000."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from hostemu.base.errors import InputError
from hostemu.base.units import (
    NS_PER_S,
    format_duration_ns,
    format_rate_bps,
    format_size_bytes,
    parse_duration_ns,
    parse_rate_bps,
    parse_size_bytes,
)
from hostemu.lines.spec import MAXIMUM_DELAY_NS, MAXIMUM_QUEUE_BYTES, MAXIMUM_RATE_BPS

MAXIMUM_DURATION_NS = 10_000_000 * NS_PER_S
MAXIMUM_MEMORY_BYTES = 2**50


class Settings(BaseModel):
    """A table of a scenario file: no unknown keys, no silent conversions, no changes afterwards."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def inconsistent(key: tuple[str, ...], expected: str, found: str) -> PydanticCustomError:
    """What a validator of a table raises about a key below it that does not go with another one."""
    return PydanticCustomError("consistency", "{expected}", {"key": key, "expected": expected, "found": found})


@dataclass(frozen=True)
class Kind:
    """A kind of quantity: how it is called, read and (exactly) written."""

    name: str
    example: str
    parse: Callable[[str], int]
    text: Callable[[int], str]


DURATION = Kind("duration", "10 ms", parse_duration_ns, format_duration_ns)
RATE = Kind("rate", "100 Mbit", parse_rate_bps, format_rate_bps)
SIZE = Kind("size", "32 MiB", parse_size_bytes, format_size_bytes)


@dataclass(frozen=True)
class Quantity:
    """Marks an integer field as a quantity from `low` to `high`, in the base unit of its kind."""

    kind: Kind
    low: int
    high: int

    def read(self, value: Any) -> int:
        """The integer that a text stands for; a pydantic error when it is no such quantity."""
        if not isinstance(value, str):
            raise self._error(f'a {self.kind.name} with its unit, in quotes, such as "{self.kind.example}"')
        try:
            number = self.kind.parse(value)
        except InputError as error:
            raise self._error(error.expected or error.message) from None
        if not self.low <= number <= self.high:
            low, high = self.kind.text(self.low), self.kind.text(self.high)
            raise self._error(f"a {self.kind.name} from {low} to {high}")
        return number

    def _error(self, expected: str) -> PydanticCustomError:
        return PydanticCustomError("quantity", "expected {expected}", {"expected": expected})

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        writer = core_schema.plain_serializer_function_ser_schema(self.kind.text, when_used="json")
        return core_schema.no_info_plain_validator_function(self.read, serialization=writer)


Duration = Annotated[int, Quantity(DURATION, 0, MAXIMUM_DURATION_NS)]
PositiveDuration = Annotated[int, Quantity(DURATION, 1, MAXIMUM_DURATION_NS)]
Delay = Annotated[int, Quantity(DURATION, 0, MAXIMUM_DELAY_NS)]
Rate = Annotated[int, Quantity(RATE, 1, MAXIMUM_RATE_BPS)]
QueueSize = Annotated[int, Quantity(SIZE, 0, MAXIMUM_QUEUE_BYTES)]
MemorySize = Annotated[int, Quantity(SIZE, 1, MAXIMUM_MEMORY_BYTES)]
