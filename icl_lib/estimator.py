"""A scikit-learn classifier whose ``fit`` trains nothing: the training set is the prompt of one fixed, looped layer.

Not imported by ``import icl_lib`` (scikit-learn is heavy): ``icl_lib.InContextClassifier`` loads it when first used.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import gen_batches
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from . import validate
from .classes import kesler_prompts
from .constructions import logistic_block, momentum_layer, ngd_layer
from .features import featurizer, monomials
from .looped import Looped
from .metrics import normalized_margin
from .tasks import Prompts

try:
    from sklearn.utils.validation import validate_data
except ImportError:  # before scikit-learn 1.6

    def validate_data(estimator: BaseEstimator, *arrays: object, **options: object) -> object:
        """Return the arrays, checked: a method of the estimator became this function."""
        return estimator._validate_data(*arrays, **options)


HEADS = {"momentum": (momentum_layer, 1.0), "ngd": (ngd_layer, 1.0), "logistic": (logistic_block, 4.0)}
"""The layer of each head, and one over the smoothness of its loss where R = 1: the step that ``step=1`` stands for."""

MOST_MONOMIALS, CHUNK = 200, 1024
"""How many monomials the heads may write (their matrices are dense), and how many rows get features at a time."""


class InContextClassifier(ClassifierMixin, BaseEstimator):
    """Classifier that learns from its prompt: one attention layer with fixed weights, looped over the training set.

    ``fit`` trains nothing. The layer's matrices are those of the theory, whatever the data; the training set is the
    context, and ``fit`` is one forward pass over it. What is kept is the state token, which no query can change, and
    so any number of queries are answered from it. Looped momentum or NGD heads tend to the max-margin separator.

    Data are normalised inside: X is divided by its largest absolute entry, ``scale_``, and the tokens by R, the
    norm of the longest one. Multiplying X by a number therefore changes no prediction, and ``step`` and ``depth`` mean
    the same for all data. Columns are not scaled one by one: put a ``StandardScaler`` in front if their units differ.

    Parameters
    ----------
    head : {"momentum", "ngd", "logistic"}, default="momentum"
        The layer. "ngd": one softmax head, one step of normalized gradient descent on the exponential loss (chapter
        "One head, one step"). "momentum": the same head with a carry, far fewer layers to the same margin (chapter
        "Momentum squares the depth"). "logistic": two attention blocks, one step of gradient descent on the logistic
        loss (chapter "Four layers, two roads"): slowest, least moved by outliers, and it has ``predict_proba``.
    depth : int >= 1, default=1000
        How often the layer is applied. Fewer layers stop earlier, which regularises (chapters "Depth is optimisation"
        and "The error falls like d over n").
    step : float > 0, default=1.0
        Step size times the smoothness of the loss: the theorems hold up to 1 ("momentum"; "ngd" and "logistic" still
        descend below 2). Longer steps may reach a margin in fewer layers, or swing (chapter "Depth is optimisation").
    features : {None, "polynomial", "spline"}, default=None
        What ReLU attention writes into each token's slots first: nothing, all monomials up to ``degree`` (at most 200),
        or for each column the B-splines of ``degree`` on ``pieces`` equal intervals from -``scale_`` to
        ``scale_``, where points beyond count as on the edge (chapter "Attention as featurizer").
    degree : int >= 1, default=2
        Degree of the features.
    pieces : int >= 1, default=8
        Intervals of the splines.
    intercept : bool, default=True
        Whether a point, once divided by ``scale_``, gets one more coordinate that is always 1 (chapter "A prompt is a
        data set"). Without it the boundary passes through the origin; splines have a constant all the same.
    tol : None, or float in (0, 1), default=None
        None: all ``depth`` layers. Else ``fit`` stops as soon as the attention weights certify that ``margin_`` is
        within the share ``tol`` of the largest there is; it never does where no boundary separates the context
        (chapter "Depth is optimisation").

    Attributes
    ----------
    classes_ : ndarray [K]
        The labels, sorted. Two classes are a prompt of n tokens; K > 2 classes one of n (K - 1) Kesler tokens with K
        times as many entries (chapter "Many classes, real data"), which is held in memory while ``fit`` runs.
    weights_ : ndarray [1, F], or [K, F] for K > 2
        What the state token holds in the end, as weights on the features.
    coef_, intercept_ : ndarray [1, d] and [1], or [K, d] and [K]
        The same as weights on the columns of X; only where ``features`` is None.
    margin_ : float in [-1, 1]
        min_i <w, z_i> / (R ||w||) over the context's tokens: positive exactly if all of them are on the right side.
    margin_bound_ : float in [0, 1]
        No classifier on these features has a larger margin: the length of what the last layer reads, or less.
    n_iter_ : int from 1 to ``depth``
        The number of layers that ``fit`` went through.
    scale_ : float > 0
        The largest absolute entry of X.
    n_features_in_ : int
        The number of columns, d.

    Raises
    ------
    BadInput
        A ValueError, in ``fit``: a parameter out of its range, a single class, nothing but zeros and no intercept.

    Examples
    --------
    >>> import icl_lib as icl
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> X, y = load_wine(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), icl.InContextClassifier(depth=100))
    >>> bool(cross_val_score(model, X, y).mean() > 0.95)
    True
    """

    def __init__(
        self,
        head: str = "momentum",
        depth: int = 1000,
        step: float = 1.0,
        *,
        features: str | None = None,
        degree: int = 2,
        pieces: int = 8,
        intercept: bool = True,
        tol: float | None = None,
    ) -> None:
        self.head = head
        self.depth = depth
        self.step = step
        self.features = features
        self.degree = degree
        self.pieces = pieces
        self.intercept = intercept
        self.tol = tol

    def fit(self, X: Float[np.ndarray, "n d"], y: np.ndarray) -> InContextClassifier:
        """Return the classifier with (X, y) as its context; y: n labels of any kind that scikit-learn sorts."""
        self._check_parameters()
        X, y = validate_data(self, X, y, dtype=(np.float64, np.float32))
        check_classification_targets(y)
        self.classes_, index = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise validate.fail("y", "1 class", "two classes or more")
        self.scale_ = float(np.abs(X).max()) or 1.0
        prompts = self._prompts(torch.from_numpy(self._by_chunks(X)), torch.from_numpy(index))
        radius, prompts = prompts.radius, prompts.normalized()
        layer, unit = HEADS[self.head]
        model = Looped(layer(prompts.z.shape[-1], self.step * unit), self.depth)
        found = model.certified(prompts, tol=self.tol)
        self.margin_ = float(normalized_margin(found.w, prompts.z))
        self.margin_bound_, self.n_iter_ = float(found.bound), int(found.depth)
        self.weights_ = (found.w / radius).reshape(len(self.classes_) if len(self.classes_) > 2 else 1, -1).numpy()
        return self

    def decision_function(self, X: Float[np.ndarray, "q d"]) -> Float[np.ndarray, "q ..."]:
        """Return <w, features of x>: [q], positive for ``classes_[1]``; or [q, K], the largest being the answer."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=(np.float64, np.float32))
        scores = self._by_chunks(X.astype(self.weights_.dtype, copy=False), self.weights_.T)
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: Float[np.ndarray, "q d"]) -> np.ndarray:
        """Return a label for each row of X."""
        scores = self.decision_function(X)
        return self.classes_[(scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(1)]

    @available_if(lambda self: self.head == "logistic")
    def predict_proba(self, X: Float[np.ndarray, "q d"]) -> Float[np.ndarray, "q K"]:
        """Return each class's probability; only for head="logistic".

        For two classes the sigmoid of the decision; for more its softmax, which gives any two classes the odds that
        the loss on Kesler tokens fits. A shallow loop stops early and is less sure than the data would allow.
        """
        scores = self.decision_function(X)
        return softmax(np.stack([np.zeros_like(scores), scores], 1) if scores.ndim == 1 else scores, axis=1)

    @property
    def coef_(self) -> Float[np.ndarray, "k d"]:
        """The weights on the columns of X; there are none behind features."""
        if self.features is not None:
            raise AttributeError("coef_ needs features=None; weights_ holds the weights on the features")
        return self.weights_[:, int(self.intercept) :] / self.weights_.dtype.type(self.scale_)

    @property
    def intercept_(self) -> Float[np.ndarray, " k"]:
        """The weight on the constant coordinate, 0 if there is none."""
        if self.features is not None:
            raise AttributeError("intercept_ needs features=None; weights_ holds the weights on the features")
        return self.weights_[:, 0] if self.intercept else np.zeros_like(self.weights_[:, 0])

    def _check_parameters(self) -> None:
        validate.one_of("head", self.head, HEADS)
        validate.positive("step", self.step)
        for name in ("depth", "degree", "pieces"):
            validate.whole(name, getattr(self, name), 1)
        if self.features not in (None, "polynomial", "spline"):
            raise validate.fail("features", repr(self.features), 'None, "polynomial" or "spline"')
        if self.tol is not None and not 0 < validate.between("tol", self.tol, 0.0, 1.0) < 1:
            raise validate.fail("tol", repr(self.tol), "None, or a number between 0 and 1")
        if not isinstance(self.intercept, (bool, np.bool_)):
            raise validate.fail("intercept", repr(self.intercept), "True or False")

    def _prompts(self, x: Float[Tensor, "n F"], index: Tensor) -> Prompts:
        """The context: the rows with labels -1 and +1, or Kesler's tokens for more classes."""
        if len(self.classes_) == 2:
            return Prompts(x[None], (2 * index - 1).to(x)[None])
        return kesler_prompts(x[None], index[None], len(self.classes_))

    def _by_chunks(
        self, X: Float[np.ndarray, "N d"], weights: Float[np.ndarray, "F k"] | None = None
    ) -> Float[np.ndarray, "N F"]:
        """Each row's features, or their products with ``weights``; no row depends on another, so chunks are exact."""
        d = X.shape[1]
        features = {
            None: lambda: _linear,
            "polynomial": lambda: _polynomial(d, self.degree),
            "spline": lambda: _spline(self.degree, self.pieces),
        }[self.features]()
        parts = []
        for rows in gen_batches(len(X), CHUNK):
            x = torch.from_numpy(X[rows] / X.dtype.type(self.scale_))
            made = validate.finite("X", features(x))[:, 0 if self.intercept else 1 :].numpy()
            parts.append(made if weights is None else made @ weights)
        return np.concatenate(parts)


def _linear(x: Float[Tensor, "N d"]) -> Float[Tensor, "N d+1"]:
    """The constant and the coordinates themselves."""
    return torch.cat([torch.ones_like(x[:, :1]), x], -1)


def _polynomial(d: int, degree: int) -> Callable[[Tensor], Tensor]:
    """The map to the constant and all monomials. A row outside the cube is shrunk into it, its monomials regrown.

    The heads let no token hear another, so each row may be a prompt of one token: no one-hot positions for N rows.
    """
    if (F := math.comb(d + degree, degree)) > MOST_MONOMIALS:
        seen = f"{F} monomials (degree={degree}, {d} columns)"
        expected = f"at most {MOST_MONOMIALS}; scikit-learn's PolynomialFeatures, put in front, writes the same"
        raise validate.fail("features", seen, expected)
    heads, power = featurizer(d, "polynomial", degree, tokens=1), [0, *map(len, monomials(d, degree))]

    def features(x: Float[Tensor, "N d"]) -> Float[Tensor, "N F"]:
        size = x.abs().amax(-1, keepdim=True).clamp(min=1.0)
        return heads((x / size)[:, None])[:, 0] * size ** torch.tensor(power)

    return features


def _spline(degree: int, pieces: int) -> Callable[[Tensor], Tensor]:
    """The map to the constant and each coordinate's B-splines, x clamped to the knots; no coordinate needs another."""
    heads = featurizer(1, "spline", degree, pieces, tokens=1)

    def features(x: Float[Tensor, "N d"]) -> Float[Tensor, "N F"]:
        each = heads(x.double().clamp(-1, 1).reshape(-1, 1, 1))[:, 0, 1:]
        return torch.cat([torch.ones_like(x[:, :1]), each.reshape(len(x), -1).to(x)], -1)

    return features
