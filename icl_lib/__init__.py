"""The Layer Is the Step: how a transformer learns logistic regression from its prompt."""

from importlib import import_module
from typing import TYPE_CHECKING

from . import alignment, asymptotics, laws, shifts
from .algorithms import (
    MaxMargin,
    gd,
    gd_least_squares,
    kernel_gd,
    least_squares,
    max_margin,
    momentum_ngd,
    newton_schulz,
    ngd,
    ngd_decaying,
    norm_gd,
    ridge,
)
from .attention import GatedFold, LinearAttention, NormedAttention, SoftmaxAttention, attend
from .bayes import BayesPoint, bayes_point
from .classes import ClassPrompts, class_accuracy, class_scores, kesler_prompts, pair_weights
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
from .datasets import ClassesTask, DatasetTask
from .engine import Certified
from .features import Featurizer, ReLUAttention, featurizer
from .kernels import KernelAttention, gaussian_kernel, kernel_layer
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
from .predictive import BayesPrediction, bayes_prediction
from .regression import FunctionTask, RegressionPrompts, legendre_matrix
from .regressors import LeastSquaresAttention, NewtonSchulzAttention, least_squares_layer, newton_schulz_layer
from .shapes import ShapeTask
from .streaming import Answer, stream
from .sweep import Sweep, SweepBroken, sweep
from .tasks import LinearTask, MixtureTask, Prompts
from .training import OPTIMIZERS, TrainingRun, train_one_step
from .transformer import InContextTransformer
from .validate import BadInput, NotSeparable

if TYPE_CHECKING:  # at run time they come when they are first used, below
    from .end_to_end import EndToEndRun, train_end_to_end
    from .estimator import InContextClassifier
    from .theorems import THEOREMS, Theorem

__version__ = "0.1.0"

__all__ = [
    "LAWS",
    "OPTIMIZERS",
    "TEACHERS",
    "THEOREMS",
    "Answer",
    "BadInput",
    "BayesPoint",
    "BayesPrediction",
    "Certified",
    "ClassPrompts",
    "ClassesTask",
    "DatasetTask",
    "EndToEndRun",
    "Featurizer",
    "FunctionTask",
    "GatedFold",
    "InContextClassifier",
    "InContextTransformer",
    "Interval",
    "KernelAttention",
    "LeastSquaresAttention",
    "LinearAttention",
    "LinearTask",
    "LogisticBlock",
    "Looped",
    "MaxMargin",
    "MixtureTask",
    "MomentumAttention",
    "NewtonSchulzAttention",
    "NormedAttention",
    "NotSeparable",
    "Prompts",
    "ReLUAttention",
    "RegressionPrompts",
    "ShapeTask",
    "SoftmaxAttention",
    "Stacked",
    "Sweep",
    "SweepBroken",
    "Theorem",
    "TrainingRun",
    "alignment",
    "angle",
    "asymptotics",
    "attend",
    "bayes_point",
    "bayes_prediction",
    "bootstrap_interval",
    "class_accuracy",
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
    "gaussian_kernel",
    "gd",
    "gd_least_squares",
    "kernel_gd",
    "kernel_layer",
    "kesler_prompts",
    "laws",
    "least_squares",
    "least_squares_layer",
    "ledger",
    "legendre_matrix",
    "log_mean_exp",
    "log_mean_exp_grad",
    "logistic_block",
    "logistic_loss",
    "logistic_loss_grad",
    "margins",
    "max_margin",
    "momentum_layer",
    "momentum_ngd",
    "newton_schulz",
    "newton_schulz_layer",
    "ngd",
    "ngd_decaying",
    "ngd_layer",
    "norm_gd",
    "norm_layer",
    "normalized_margin",
    "pair_weights",
    "plots",
    "ridge",
    "shifts",
    "sink_layer",
    "stable_learning_rate",
    "stream",
    "sweep",
    "train_end_to_end",
    "train_one_step",
    "trials",
]


_LATER = {
    "EndToEndRun": "end_to_end",
    "InContextClassifier": "estimator",
    "THEOREMS": "theorems",
    "Theorem": "theorems",
    "train_end_to_end": "end_to_end",
}
"""Names in rooms that pull in heavy packages, or that are long and not needed by everybody, and these rooms."""
_ROOMS = ("end_to_end", "exercises", "ledger", "plots", "theorems", "trials")


def __getattr__(name: str):
    """Load what an import need not wait for when it is first used (PEP 562)."""
    if name in _ROOMS:
        return import_module(f".{name}", __name__)
    if name in _LATER:
        globals()[name] = getattr(import_module(f".{_LATER[name]}", __name__), name)
        return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
