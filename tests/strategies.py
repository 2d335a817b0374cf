"""What the library's tests share: random inputs for hypothesis, an autograd oracle, and what "equal" means.

Hypothesis draws sizes, scales and a seed; torch fills the tensors from that seed, so a failure shrinks to a small
context and is printed as a handful of numbers. Runs are derandomised: the same examples every time, everywhere.
"""

from collections.abc import Callable

import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from torch import Tensor

import icl_lib as icl

torch.set_num_threads(1)
settings.register_profile(
    "book", deadline=None, derandomize=True, max_examples=25, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("book")

sizes = st.integers(1, 6)
seeds = st.integers(0, 2**32 - 1)
steps = st.floats(0.01, 4.0)
scales = st.sampled_from([1e-3, 0.1, 1.0, 10.0])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*size: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*size, generator=seeded(seed), dtype=dtype)


def folded(z: Tensor) -> icl.Prompts:
    """Prompts whose folded tokens are z: all labels +1."""
    return icl.Prompts(z, torch.ones_like(z[..., 0]))


@st.composite
def prompts(draw, queries: int = 0, normalized: bool = False, n: int | None = None) -> icl.Prompts:
    """Points of any size between 1e-3 and 10, with random labels: separable or not."""
    B, n, d, g = draw(sizes), n or draw(st.integers(1, 10)), draw(sizes), seeded(draw(seeds))
    x = draw(scales) * torch.randn(B, n + queries, d, generator=g, dtype=torch.float64)
    y = torch.randint(0, 2, (B, n + queries), generator=g).double() * 2 - 1
    asked = (x[:, n:], y[:, n:]) if queries else (None, None)
    made = icl.Prompts(x[:, :n], y[:, :n], None, *asked)
    return made.normalized() if normalized else made


@st.composite
def points(draw, p: icl.Prompts, margin: float = 100.0) -> Tensor:
    """A classifier for each prompt, [B, d], whose margins reach up to ``margin``."""
    B, _, d = p.x.shape
    w = normal(B, d, seed=draw(seeds))
    reach = draw(st.sampled_from([0.0, 0.1, 1.0, margin]))
    return reach * w / (icl.margins(w, p.z).abs().amax(-1, keepdim=True) + 1e-300)


def gradient(f: Callable[[Tensor], Tensor], w: Tensor) -> Tensor:
    """The gradient by automatic differentiation: an oracle that knows none of the library's closed forms."""
    w = w.detach().clone().requires_grad_()
    return torch.autograd.grad(f(w).sum(), w)[0]


def assert_same(seen: Tensor, expected: Tensor, rtol: float = 1e-12, scale: Tensor | float = 0.0) -> None:
    """Equality up to ``rtol``, relative to the largest entry of the expected value (or to ``scale``, if larger).

    1e-12 in float64 leaves a factor 4,500 over one rounding: room for a softmax at margins up to 100 (it turns an
    error eps * margin in a score into a relative one) and for sums over a few dozen tokens, and for nothing else.
    """
    size = max(float(expected.abs().max()) if expected.numel() else 0.0, float(torch.as_tensor(scale).max()))
    torch.testing.assert_close(seen, expected, rtol=0, atol=rtol * size)
