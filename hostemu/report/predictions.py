"""What a model predicts, as people read it: with its interval, and marked where it is extrapolated."""

from __future__ import annotations

import math

from hostemu.fitting import Prediction
from hostemu.report.figures import SCALES

EXTRAPOLATED = "extrapolated"


def render_prediction(prediction: Prediction, unit: str) -> str:
    """ "12.3 MiB ± 0.4, extrapolated"; unit: that of the value, such as "B" (see SCALES).

    A value of which too little is known for an interval is "12.3 MiB, interval unknown".
    """
    scale, half = SCALES[unit], prediction.half_width
    value = f"{scale.text(prediction.value)} {scale.unit}".strip()
    spread = f" ± {scale.text(half)}" if math.isfinite(half) else ", interval unknown"
    return value + spread + (f", {EXTRAPOLATED}" if prediction.is_extrapolated else "")
