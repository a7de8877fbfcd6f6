"""The marks of table 4, derived from figures by a rule.

The thesis gives no rule, and of its marks the copy at hand has kept the worst (×) only.  These limits are ours:
chosen so that the rule, applied to the published figures, gives × where the thesis does and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

BEST, GOOD, FAIR, BAD = "◎", "○", "△", "×"


@dataclass(frozen=True)
class Rule:
    """A column: its figure in words, and the limits of the marks.

    Figures of at least (or, with `less_is_better`, at most) these get ◎, ○, △; what is left gets ×.
    """

    figure: str
    limits: tuple[float, float, float]
    less_is_better: bool = False

    def mark(self, value: float) -> str:
        """The mark of a figure."""
        for mark, limit in zip((BEST, GOOD, FAIR), self.limits, strict=True):
            if value <= limit if self.less_is_better else value >= limit:
                return mark
        return BAD

    def text(self) -> str:
        """The rule in words."""
        sign = "≤" if self.less_is_better else "≥"
        marks = ", ".join(f"{m} {sign} {v:.3g}" for m, v in zip((BEST, GOOD, FAIR), self.limits, strict=True))
        return f"{self.figure}: {marks}"


RULES: Mapping[str, Rule] = {
    "throughput": Rule("share of the best guest kernel's throughput, mean of iperf and tbench", (0.8, 0.5, 1 / 6)),
    "memory": Rule("host memory of a 32 MB guest over its configured size", (0.5, 1.0, 3.0), less_is_better=True),
    "guests": Rule("guests of 32 MB in 2 GB", (100, 30, 10)),
    "gui": Rule("screens needed on the host", (0, 0, 1), less_is_better=True),
    "configuration": Rule("steps from nothing to a ping", (10, 25, 60), less_is_better=True),
}
"""By the columns of table 4."""
