"""Depth: one layer looped, or a stack of untied layers, driven through the layer protocol.

A layer has a dimension ``d`` and offers ``init(prompts) -> state``, ``step(state, prompts, t) -> state``,
``read(state) -> w``, ``attention(state, prompts) -> weights`` and ``forward(tokens, t) -> tokens``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from . import validate
from .tasks import Prompts


def _finite(result: Tensor) -> Tensor:
    """Refuse what a score beyond the dtype's range turns into: NaN must not reach a decision."""
    if not torch.isfinite(result).all():
        raise validate.fail("prompts", f"scores that overflow {result.dtype}", "prompts.normalized(), or float64")
    return result


class Stacked(nn.Module):
    """Layers applied one after the other. ``layers``: at least one layer; the first one makes the initial state."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        if isinstance(layers, nn.Module) and not isinstance(layers, nn.ModuleList):
            raise validate.fail("layers", type(layers).__name__, "a sequence of layers, [layer] for one")
        layers = list(layers)
        if not layers:
            raise validate.fail("layers", "no layer", "at least one (for depth 0, use Looped)")
        if not all(hasattr(layer, "d") and hasattr(layer, "step") for layer in layers):
            raise validate.fail(
                "layers", f"{[type(layer).__name__ for layer in layers]}", "layers such as ngd_layer(d, step)"
            )
        if len({layer.d for layer in layers}) > 1:
            raise validate.fail("layers", f"dimensions {[layer.d for layer in layers]}", "layers of one dimension d")
        self.layers = nn.ModuleList(layers)

    @property
    def depth(self) -> int:
        """The number of layers."""
        return len(self.layers)

    def layer(self, t: int) -> nn.Module:
        """Return the layer at depth t, counted from 0."""
        return self.layers[t]

    def _states(self, prompts: Prompts) -> Iterator[Tensor]:
        state = self.layer(0).init(prompts)
        yield state
        for t in range(self.depth):
            state = self.layer(t).step(state, prompts, t)
            yield state

    def iterates(self, prompts: Prompts) -> Float[Tensor, "T+1 B d"]:
        """Return the classifier after every layer, w_0 = 0 first."""
        return _finite(torch.stack([self.layer(0).read(state) for state in self._states(prompts)]))

    def final(self, prompts: Prompts) -> Float[Tensor, "B d"]:
        """Return the classifier after the last layer; earlier ones are not kept."""
        return _finite(self.layer(0).read(deque(self._states(prompts), maxlen=1).pop()))

    def decision(self, prompts: Prompts, x_query: Float[Tensor, "B q d"] | None = None) -> Float[Tensor, "B q"]:
        """Return <w_T, x> for each query (the prompts' own unless ``x_query`` is given); its sign is the label."""
        x_query = prompts.x_query if x_query is None else x_query
        if x_query is None:
            raise validate.fail("x_query", "None", "a tensor [B, q, d], or prompts that hold queries")
        B, _, d = prompts.x.shape
        validate.shaped("x_query", x_query, "B q d", B=B, d=d)
        validate.same_kind("x_query", x_query, "prompts", prompts.x)
        return torch.einsum("bqd,bd->bq", x_query, self.final(prompts))

    def attention(self, prompts: Prompts) -> Float[Tensor, "T B n"]:
        """Return the attention weights on the context tokens in every layer (T = 0 gives an empty tensor)."""
        states = zip(range(self.depth), self._states(prompts), strict=False)
        maps = [self.layer(t).attention(state, prompts) for t, state in states]
        return _finite(torch.stack(maps)) if maps else prompts.y.new_zeros(0, *prompts.y.shape)

    def forward(self, tokens: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        """Return the token matrix after all layers: the explicit, slow view of the same model."""
        for t in range(self.depth):
            tokens = self.layer(t)(tokens, t)
        return tokens


class Looped(Stacked):
    """One layer applied ``depth`` times (0 or more), its weights shared by all depths."""

    def __init__(self, layer: nn.Module, depth: int) -> None:
        super().__init__([layer])
        self._depth = validate.whole("depth", depth)

    @property
    def depth(self) -> int:
        """How often the layer is applied."""
        return self._depth

    def layer(self, t: int) -> nn.Module:
        """Return the layer: the same at every depth."""
        return self.layers[0]
