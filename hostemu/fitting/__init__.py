"""Models fitted to measurements: forms with a meaning, coefficients with intervals, the range that they hold for."""

from hostemu.fitting.campaigns import models_of, thesis_models
from hostemu.fitting.choice import best_fit
from hostemu.fitting.fit import Fit, Prediction, fit
from hostemu.fitting.forms import FORMS, Form
from hostemu.fitting.models import Model, Models, load_models, require_host, save_models

__all__ = [
    "FORMS",
    "Fit",
    "Form",
    "Model",
    "Models",
    "Prediction",
    "best_fit",
    "fit",
    "load_models",
    "models_of",
    "require_host",
    "save_models",
    "thesis_models",
]
