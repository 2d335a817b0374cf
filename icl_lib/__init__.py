"""The Layer Is the Step: how a transformer learns logistic regression from its prompt."""

from importlib import import_module

from . import asymptotics, laws, shifts
from .algorithms import MaxMargin, gd, max_margin, momentum_ngd, ngd, ngd_decaying, norm_gd
from .attention import GatedFold, NormedAttention, SoftmaxAttention, attend
from .bayes import BayesPoint, bayes_point
from .classes import class_scores, kesler_prompts
from .constructions import (
    LogisticBlock,
    MomentumAttention,
    decide,
    logistic_block,
    momentum_layer,
    ngd_layer,
    norm_layer,
    sink_layer,
)
from .datasets import DatasetTask
from .features import Featurizer, ReLUAttention, featurizer
from .laws import LAWS
from .looped import Looped, Stacked
from .losses import (
    exponential_loss,
    exponential_loss_grad,
    exponential_weights,
    log_mean_exp,
    log_mean_exp_grad,
    logistic_loss,
    logistic_loss_grad,
    margins,
)
from .metrics import Interval, angle, bootstrap_interval, error_rate, exact_error, fit_slope, normalized_margin
from .one_step import TEACHERS, distance_to_construction, stable_learning_rate
from .shapes import ShapeTask
from .sweep import Sweep, SweepBroken, sweep
from .tasks import LinearTask, MixtureTask, Prompts
from .theorems import THEOREMS, Theorem
from .training import OPTIMIZERS, TrainingRun, train_one_step
from .validate import BadInput, NotSeparable

__version__ = "0.1.0"

__all__ = [
    "LAWS",
    "OPTIMIZERS",
    "TEACHERS",
    "THEOREMS",
    "BadInput",
    "BayesPoint",
    "DatasetTask",
    "Featurizer",
    "GatedFold",
    "Interval",
    "LinearTask",
    "LogisticBlock",
    "Looped",
    "MaxMargin",
    "MixtureTask",
    "MomentumAttention",
    "NormedAttention",
    "NotSeparable",
    "Prompts",
    "ReLUAttention",
    "ShapeTask",
    "SoftmaxAttention",
    "Stacked",
    "Sweep",
    "SweepBroken",
    "Theorem",
    "TrainingRun",
    "angle",
    "asymptotics",
    "attend",
    "bayes_point",
    "bootstrap_interval",
    "class_scores",
    "decide",
    "distance_to_construction",
    "error_rate",
    "exact_error",
    "exercises",
    "exponential_loss",
    "exponential_loss_grad",
    "exponential_weights",
    "featurizer",
    "fit_slope",
    "gd",
    "kesler_prompts",
    "laws",
    "ledger",
    "log_mean_exp",
    "log_mean_exp_grad",
    "logistic_block",
    "logistic_loss",
    "logistic_loss_grad",
    "margins",
    "max_margin",
    "momentum_layer",
    "momentum_ngd",
    "ngd",
    "ngd_decaying",
    "ngd_layer",
    "norm_gd",
    "norm_layer",
    "normalized_margin",
    "plots",
    "shifts",
    "sink_layer",
    "stable_learning_rate",
    "sweep",
    "train_one_step",
    "trials",
]


def __getattr__(name: str):
    """Load the rooms that pull in heavy packages, or that run as a command, only when they are used (PEP 562)."""
    if name in ("plots", "exercises", "ledger", "trials"):
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
