"""Models fitted to measurements: forms with a meaning, coefficients with intervals, the range that they hold for."""

from hostemu.fitting.action_costs import costs_from_models
from hostemu.fitting.campaigns import models_of
from hostemu.fitting.charges import charged_from_models, load_charged
from hostemu.fitting.choice import best_fit
from hostemu.fitting.files import holds_models, load_costs_or_models, remarks
from hostemu.fitting.fit import Estimate, Fit, Prediction, fit
from hostemu.fitting.forms import FORMS, Form
from hostemu.fitting.models import Model, Models, find_models, load_models, require_host, save_models
from hostemu.fitting.thesis import thesis_models

__all__ = [
    "FORMS",
    "Estimate",
    "Fit",
    "Form",
    "Model",
    "Models",
    "Prediction",
    "best_fit",
    "charged_from_models",
    "costs_from_models",
    "find_models",
    "fit",
    "holds_models",
    "load_charged",
    "load_costs_or_models",
    "load_models",
    "models_of",
    "remarks",
    "require_host",
    "save_models",
    "thesis_models",
]
