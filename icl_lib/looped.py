"""Depth: one layer looped, or a stack of untied layers, driven through the layer protocol.

A layer has a dimension ``d`` and offers ``init(prompts) -> state``, ``step(state, prompts, t) -> state``,
``read(state) -> w``, ``attention(state, prompts) -> weights`` and ``forward(tokens, t) -> tokens``. Two more methods
are optional: ``bind(prompts)``, its step made ready for a long loop (room ``engine``), and ``select(rows)``, the layer
for some prompts of the batch, where it holds something for each of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from . import engine, validate
from .engine import Bound, Certified, State
from .tasks import Prompts


def overflow(dtype: torch.dtype) -> validate.BadInput:
    """Return (to be raised) the error for prompts whose scores leave the dtype's range."""
    return validate.fail("prompts", f"scores that overflow {dtype}", "prompts.normalized(), or float64")


def _finite(result: Tensor) -> Tensor:
    """Refuse what a score beyond the dtype's range turns into: NaN must not reach a decision."""
    if not torch.isfinite(result).all():
        raise overflow(result.dtype)
    return result


class Stacked(nn.Module):
    """Layers applied one after the other. ``layers``: at least one layer; the first one makes the initial state."""

    _compile = False

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

    def _bind(self, prompts: Prompts, chosen: slice | Tensor | None = None) -> Bound:
        """Return the layers bound to the prompts, which are the ``chosen`` ones of the batch that was asked about."""
        layers = [_selected(layer, chosen) for layer in self.layers]

        def advance(data: tuple, state: State, t: int, room: None = None) -> State:
            return (layers[t].step(state[0], prompts, t),)

        return Bound(advance, (), (layers[0].init(prompts),), lambda state: layers[0].read(state[0]), compiles=False)

    def _states(self, prompts: Prompts) -> Iterator[Tensor]:
        state = self.layer(0).init(prompts)
        yield state
        for t in range(self.depth):
            state = self.layer(t).step(state, prompts, t)
            yield state

    def _parts(self, prompts: Prompts, max_bytes: int | None) -> Iterator[tuple[slice, Prompts]]:
        for layer in self.layers:
            layer.init(prompts)  # the one check that layer and prompts fit
        B, n, d = prompts.x.shape
        for part in engine.slices(B, n, d, prompts.x.element_size(), max_bytes):
            yield part, prompts if part.stop >= B and part.start == 0 else engine.rows(prompts, part)

    def iterates(self, prompts: Prompts) -> Float[Tensor, "T+1 B d"]:
        """Return the classifier after every layer, w_0 = 0 first."""
        bound = self._bind(prompts)
        state, path = bound.state, [bound.read(bound.state)]
        for t in range(self.depth):
            state = bound.advance(bound.data, state, t, bound.scratch)
            path.append(bound.read(state))
        return _finite(torch.stack(path))

    def final(
        self, prompts: Prompts, *, tol: float | None = None, max_bytes: int | None = None
    ) -> Float[Tensor, "B d"]:
        """Return the classifier after the last layer; earlier ones are not kept.

        tol, above 0 and below 1: a prompt stops as soon as its margin is certified to be at least 1 - tol times the
        largest there is (see :meth:`certified`); None: every prompt goes through all layers. max_bytes: the batch is
        taken in parts, so that tensors made on the way stay below this size (without gradients); the numbers are the
        same, bit for bit, where a product of two matrices does not depend on the rest of its batch, and with the
        layers of the theory it does not.
        """
        return _finite(self._final(prompts, tol, max_bytes))

    def _final(self, prompts: Prompts, tol: float | None, max_bytes: int | None) -> Float[Tensor, "B d"]:
        if tol is not None:
            return self._certified(prompts, tol, max_bytes).w
        return torch.cat([self._run(part, chosen) for chosen, part in self._parts(prompts, max_bytes)])

    def _run(self, prompts: Prompts, chosen: slice) -> Float[Tensor, "B d"]:
        bound = self._bind(prompts, chosen)
        return bound.read(engine.advanced(bound, bound.state, 0, self.depth, self._compile))

    def certified(self, prompts: Prompts, *, tol: float | None = None, max_bytes: int | None = None) -> Certified:
        """Return the classifiers with a proof: margin reached <= exact max margin <= bound, and the depth of each.

        With ``tol`` a prompt stops at the first depth (of some: every block of 10 at first) where margin >= (1 - tol)
        bound, so that it is within tol of the exact max margin; a prompt that never gets there, as it is not separable
        for one, goes through all layers. No layer needs to be of a certain kind: attention weights are a certificate.
        Proof: for q >= 0 with sum 1, min_i <u*, z_i> = gamma gives gamma <= <u*, sum_i q_i z_i> <= ||sum_i q_i z_i||;
        w_T / (step T) of NGD is a mean of such sums, over all its layers. ``max_bytes`` as in :meth:`final`.
        """
        found = self._certified(prompts, tol, max_bytes)
        _finite(found.w)
        return found

    def _certified(self, prompts: Prompts, tol: float | None, max_bytes: int | None) -> Certified:
        engine.checked_tol(tol)
        if not isinstance(prompts, Prompts):  # margins are those of classification
            raise validate.fail("prompts", type(prompts).__name__, "Prompts (Prompts.from_arrays makes them)")

        def of(chosen: slice | Tensor, part: Prompts) -> Certified:
            def bind(left: slice | Tensor) -> tuple[Prompts, Bound]:
                prompts_left = part if left is chosen else engine.rows(prompts, left)
                return prompts_left, self._bind(prompts_left, left)

            return engine.certified(bind, chosen, self.depth, tol, self._compile)

        parts = [of(chosen, part) for chosen, part in self._parts(prompts, max_bytes)]
        return Certified(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def decision(
        self,
        prompts: Prompts,
        x_query: Float[Tensor, "B q d"] | None = None,
        *,
        tol: float | None = None,
        max_bytes: int | None = None,
    ) -> Float[Tensor, "B q"]:
        """Return <w_T, x> for each query (the prompts' own unless ``x_query`` is given); its sign is the label.

        tol, max_bytes: as in :meth:`final`.
        """
        return _finite(self.unchecked_decision(prompts, x_query, tol=tol, max_bytes=max_bytes))

    def unchecked_decision(
        self,
        prompts: Prompts,
        x_query: Float[Tensor, "B q d"] | None = None,
        *,
        tol: float | None = None,
        max_bytes: int | None = None,
    ) -> Float[Tensor, "B q"]:
        """Return the same, with NaN or infinity in the rows whose scores overflow: the caller must look for them."""
        if x_query is None:
            if prompts.x_query is None:
                raise validate.fail("x_query", "None", "a tensor [B, q, d], or prompts that hold queries")
            x_query = prompts.x_query
        else:
            B, _, d = prompts.x.shape
            validate.shaped("x_query", x_query, "B q d", B=B, d=d)
            validate.same_kind("x_query", x_query, "prompts", prompts.x)
        return torch.einsum("bqd,bd->bq", x_query, self._final(prompts, tol, max_bytes))

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
    """One layer applied ``depth`` times (0 or more), its weights shared by all depths.

    compile=True needs a C++ compiler, and serves ``final``, ``decision`` and ``certified``, without gradients. Heads of
    NGD, with momentum or without, then run in one small program (room ``fused``), compiled in a second or two, once a
    process: on the CPU two to three times as fast. On a GPU, and for the sink's and the logistic layer, blocks of ten
    loops go to ``torch.compile``, which takes some ten seconds or more for each new shape. Results are equal up to
    rounding. Where nothing can be compiled (a layer of your own, say) a RuntimeWarning says why, and the loops run as
    they are.
    """

    def __init__(self, layer: nn.Module, depth: int, compile: bool = False) -> None:
        super().__init__([layer])
        self._depth = validate.whole("depth", depth)
        if not isinstance(compile, bool):
            raise validate.fail("compile", repr(compile), "True or False")
        self._compile = compile

    @property
    def depth(self) -> int:
        """How often the layer is applied."""
        return self._depth

    def layer(self, t: int) -> nn.Module:
        """Return the layer: the same at every depth."""
        return self.layers[0]

    def _bind(self, prompts: Prompts, chosen: slice | Tensor | None = None) -> Bound:
        layer = _selected(self.layers[0], chosen)
        bound = layer.bind(prompts) if hasattr(layer, "bind") else None
        if bound is not None:
            return bound

        def advance(data: tuple, state: State, t: int, room: None = None) -> State:
            return (layer.step(state[0], prompts, t),)

        return Bound(advance, (), (layer.init(prompts),), lambda state: layer.read(state[0]), compiles=False)


def _selected(layer: nn.Module, chosen: slice | Tensor | None) -> nn.Module:
    return layer if chosen is None or not hasattr(layer, "select") else layer.select(chosen)
