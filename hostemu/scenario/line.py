"""The lines of a scenario: common settings, and what differs towards the router (up) or away from it (down)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import Field, model_validator

from hostemu.lines.spec import LineSpec
from hostemu.scenario.quantities import Delay, QueueSize, Rate, Settings, inconsistent

Probability = Annotated[float, Field(ge=0.0, le=1.0)]


@dataclass(frozen=True)
class DirectedLine:
    """One direction of a line, as it results from common and own settings.

    rate_bps: None is a line on which serialisation takes no time.  queue_bytes: None is no limit.
    loss: probability per packet.
    """

    rate_bps: int | None
    queue_bytes: int | None
    delay_ns: int
    loss: float

    def spec(self) -> LineSpec:
        """The same as the line model takes it."""
        return LineSpec(self.rate_bps, self.queue_bytes, self.delay_ns, self.loss)


class DirectionSettings(Settings):
    """What is different in one direction; None: as the line says for both."""

    rate_bps: Rate | None = Field(default=None, alias="rate")
    queue_bytes: QueueSize | None = Field(default=None, alias="queue")
    delay_ns: Delay | None = Field(default=None, alias="delay")
    loss: Probability | None = None


class LineSettings(Settings):
    """A line between a host and the router."""

    rate_bps: Rate | None = Field(default=None, alias="rate")
    queue_bytes: QueueSize | None = Field(default=None, alias="queue")
    delay_ns: Delay = Field(default=0, alias="delay")
    loss: Probability = 0.0
    up_settings: DirectionSettings = Field(default=DirectionSettings(), alias="up")
    down_settings: DirectionSettings = Field(default=DirectionSettings(), alias="down")

    @property
    def up(self) -> DirectedLine:
        """Towards the router."""
        return self._directed(self.up_settings)

    @property
    def down(self) -> DirectedLine:
        """Away from the router."""
        return self._directed(self.down_settings)

    def _directed(self, own: DirectionSettings) -> DirectedLine:
        return DirectedLine(
            rate_bps=self.rate_bps if own.rate_bps is None else own.rate_bps,
            queue_bytes=self.queue_bytes if own.queue_bytes is None else own.queue_bytes,
            delay_ns=self.delay_ns if own.delay_ns is None else own.delay_ns,
            loss=self.loss if own.loss is None else own.loss,
        )

    @model_validator(mode="after")
    def _queues_have_rates(self) -> Self:
        for direction, line, own in (("up", self.up, self.up_settings), ("down", self.down, self.down_settings)):
            if line.queue_bytes is not None and line.rate_bps is None:
                key = ("queue",) if own.queue_bytes is None else (direction, "queue")
                expected = "a rate beside the queue limit: without one nothing ever queues"
                raise inconsistent(key, expected, f"{line.queue_bytes} bytes and no rate, direction {direction}")
        return self


class Lines(Settings):
    """center: center server – router.  isp: ISP host – router.  terminals: every terminal guest – router."""

    center: LineSettings = LineSettings()
    isp: LineSettings = LineSettings()
    terminals: LineSettings = LineSettings()
