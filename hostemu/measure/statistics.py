"""What a few raw values say: mean, median, intervals, and the one list of what speaks against trusting them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np

from hostemu.base.confidence import CONFIDENCE, student

RESAMPLES = 1000
RESAMPLING_SEED = 1

VARIATION_LIMIT = 0.05
"""Coefficient of variation above which a figure is called unstable."""

WIDTH_LIMIT = 0.05
"""Half width of the interval, as a share of the mean, above which the mean is called uncertain."""

FEWEST_VALUES = 3
"""Fewer values say nothing of their spread."""

WARM_UP_GAIN = 3.0
"""How much more certain the mean must become without the first values before they are called warm-up."""

FEWEST_FOR_TREND = 6
TREND_P = 0.05
FEWEST_FOR_OUTLIERS = 5
OUTLIER_SCORE = 3.5
"""Modified z-score of an outlier (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993)."""

_MAD_SCALE = 0.6745
"""Median absolute deviation of a normal distribution, in standard deviations."""


@dataclass(frozen=True)
class Interval:
    """From low to high, with 95 % confidence."""

    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of its width."""
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Statistics:
    """n values in the order in which they were measured; intervals (of the mean) are None when n is 1.

    student: assumes a normal distribution.  bootstrap: does not (Efron's BCa).
    warnings: why the figure may not be what it seems, in words; empty is good.
    """

    n: int
    mean: float
    median: float
    deviation: float
    low: float
    high: float
    student: Interval | None
    bootstrap: Interval | None
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return {**asdict(self), "warnings": list(self.warnings)}


def analyse(values: Sequence[float]) -> Statistics:
    """Everything about at least one finite value.  Raises ValueError for none, or for one that is no number."""
    if not values or not all(map(math.isfinite, values)):
        raise ValueError("statistics need at least one value, and all of them finite")
    return Statistics(
        n=len(values),
        mean=mean(values),
        median=median(values),
        deviation=deviation(values),
        low=min(values),
        high=max(values),
        student=student_interval(values),
        bootstrap=bootstrap_interval(values),
        warnings=tuple(warnings(values)),
    )


def mean(values: Sequence[float]) -> float:
    """The mean, rounded once, and never outside of the values."""
    return min(max(math.fsum(values) / len(values), min(values)), max(values))


def deviation(values: Sequence[float]) -> float:
    """The sample's standard deviation; 0 of one value."""
    if len(values) < 2:
        return 0.0
    center = mean(values)
    return math.sqrt(math.fsum((value - center) ** 2 for value in values) / (len(values) - 1))


def student_interval(values: Sequence[float]) -> Interval | None:
    """Student's interval of the mean; None for one value."""
    n = len(values)
    if n < 2:
        return None
    half = student(n - 1) * deviation(values) / math.sqrt(n)
    center = mean(values)
    return Interval(center - half, center + half)


def bootstrap_interval(values: Sequence[float]) -> Interval | None:
    """The bias-corrected and accelerated bootstrap interval of the mean; the same for the same values."""
    if len(values) < 2:
        return None
    if max(values) == min(values):
        return Interval(values[0], values[0])
    from scipy import stats  # slow to import, and needed by few commands

    data = np.asarray(values, float)
    scale = float(np.abs(data).max())
    with np.errstate(all="ignore"), catch_warnings():
        simplefilter("ignore")  # of values that hardly differ there is no such interval: see below
        done = stats.bootstrap(
            [data / scale],
            np.mean,
            confidence_level=CONFIDENCE,
            n_resamples=RESAMPLES,
            method="BCa" if len(values) > 2 else "percentile",
            random_state=np.random.default_rng(RESAMPLING_SEED),
        )
    low, high = (float(end) * scale for end in done.confidence_interval)
    return Interval(low, high) if math.isfinite(low) and math.isfinite(high) else student_interval(values)


def warm_up_length(values: Sequence[float]) -> int:
    """How many of the first values do not belong to the rest: MSER (White, Simulation 69(6), 1997).

    The fewest whose removal makes the mean of the rest nearly as certain as it gets, if that is less than half of the
    values; 0 for series that are too short to tell.
    """
    if len(values) < FEWEST_FOR_TREND:
        return 0
    errors = [_mser(values[cut:]) for cut in range(len(values) // 2 + 1)]
    cut = next(cut for cut, error in enumerate(errors) if error <= WARM_UP_GAIN * min(errors))
    return cut if cut < len(values) // 2 else 0


def _mser(rest: Sequence[float]) -> float:
    """The squared standard error of the mean, as MSER has it."""
    center = mean(rest)
    return math.fsum((value - center) ** 2 for value in rest) / len(rest) ** 2


def trend(values: Sequence[float]) -> float | None:
    """The change from first to last, as a share of the median, if values rise or fall with time; None if not.

    Kendall's tau says whether (Mann's test), Theil's and Sen's slope how much.
    """
    if len(values) < FEWEST_FOR_TREND or max(values) == min(values):
        return None
    from scipy import stats

    order = list(range(len(values)))
    if float(stats.kendalltau(order, values).pvalue) >= TREND_P:
        return None
    slope = float(stats.theilslopes(values, order).slope)
    return slope * (len(values) - 1) / max(abs(median(values)), math.ulp(0.0))


def outliers(values: Sequence[float]) -> list[int]:
    """Which values lie too far from the median, by their position; none when most are equal."""
    center = median(values)
    spread = median(abs(value - center) for value in values)
    if len(values) < FEWEST_FOR_OUTLIERS or spread == 0:
        return []
    return [at for at, value in enumerate(values) if _MAD_SCALE * abs(value - center) / spread > OUTLIER_SCORE]


def warnings(values: Sequence[float]) -> list[str]:
    """Everything that speaks against trusting the mean of these values; the one list of such reasons."""
    if len(values) < FEWEST_VALUES:
        return [f"only {len(values)} value{'s' if len(values) > 1 else ''}: nothing is known of the spread"]
    found = [*_spread_warnings(values)]
    cut = warm_up_length(values)
    if cut:
        found.append(f"the first {cut} of {len(values)} values look like warm-up")
    change = trend(values)
    if change is not None:
        found.append(f"values {'rise' if change > 0 else 'fall'} with time, by {abs(change):.1%} from first to last")
    far = outliers(values)
    if far:
        found.append(f"outliers: repeat {', '.join(str(at + 1) for at in far)}")
    return found


def _spread_warnings(values: Sequence[float]) -> list[str]:
    center = abs(mean(values))
    interval = student_interval(values)
    if center == 0 or interval is None:
        return []
    found = []
    variation, width = deviation(values) / center, interval.half_width / center
    if variation > VARIATION_LIMIT:
        found.append(f"unstable: coefficient of variation {variation:.1%} (limit {VARIATION_LIMIT:.0%})")
    if width > WIDTH_LIMIT:
        found.append(f"uncertain: the 95 % interval is ±{width:.1%} of the mean (limit {WIDTH_LIMIT:.0%})")
    return found
