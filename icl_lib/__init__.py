"""The Layer Is the Step: how a transformer learns logistic regression from its prompt."""

from importlib import import_module

from .algorithms import MaxMargin, gd, max_margin, momentum_ngd, ngd, ngd_decaying, norm_gd
from .attention import GatedFold, NormedAttention, SoftmaxAttention, attend
from .constructions import LogisticBlock, decide, logistic_block, ngd_layer, norm_layer, sink_layer
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
from .metrics import Interval, angle, bootstrap_interval, error_rate, normalized_margin
from .one_step import TEACHERS, distance_to_construction, stable_learning_rate
from .tasks import LAWS, DatasetTask, LinearTask, Prompts
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
    "DatasetTask",
    "GatedFold",
    "Interval",
    "LinearTask",
    "LogisticBlock",
    "Looped",
    "MaxMargin",
    "NormedAttention",
    "NotSeparable",
    "Prompts",
    "SoftmaxAttention",
    "Stacked",
    "Theorem",
    "TrainingRun",
    "angle",
    "attend",
    "bootstrap_interval",
    "decide",
    "distance_to_construction",
    "error_rate",
    "exercises",
    "exponential_loss",
    "exponential_loss_grad",
    "exponential_weights",
    "gd",
    "ledger",
    "log_mean_exp",
    "log_mean_exp_grad",
    "logistic_block",
    "logistic_loss",
    "logistic_loss_grad",
    "margins",
    "max_margin",
    "momentum_ngd",
    "ngd",
    "ngd_decaying",
    "ngd_layer",
    "norm_gd",
    "norm_layer",
    "normalized_margin",
    "plots",
    "sink_layer",
    "stable_learning_rate",
    "train_one_step",
]


def __getattr__(name: str):
    """Load the rooms that pull in heavy packages, or that run as a command, only when they are used (PEP 562)."""
    if name in ("plots", "exercises", "ledger"):
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
