"""Models fitted to measurements: forms with a meaning, coefficients with intervals, the range that they hold for."""

from hostemu.fitting.fit import Fit, Prediction, fit
from hostemu.fitting.forms import FORMS, Form

__all__ = ["FORMS", "Fit", "Form", "Prediction", "fit"]
