"""A small softmax transformer that reads raw prompts: nothing in it was put there to descend on a loss.

Chapter "Trained end to end" trains it on final answers only (:mod:`icl_lib.end_to_end`).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from . import validate
from .tasks import Prompts


class Block(nn.Module):
    """One layer: every token reads the context by softmax attention, then passes through a small network of its own.

    Pre-norm: each half reads a layer-normed copy of the tokens, and its output is added to the tokens themselves.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_read, self.norm_think = nn.LayerNorm(width), nn.LayerNorm(width)
        self.read = nn.MultiheadAttention(width, heads, batch_first=True)
        self.think = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, h: Float[Tensor, "B N width"], n: int) -> Float[Tensor, "B N width"]:
        """Return the tokens after the layer; the first ``n`` of them are the context, the only ones that are read."""
        seen = self.norm_read(h)
        h = h + self.read(seen, seen[:, :n], seen[:, :n], need_weights=False)[0]
        return h + self.think(self.norm_think(h))


class InContextTransformer(nn.Module):
    """A transformer for prompts of points in R^d: tokens [x_i, y_i] and queries [x, 0] in, a logit a query out.

    Every token is embedded in R^width and passes ``depth`` blocks of ``heads`` softmax heads. There is no positional
    encoding and every token reads all of the context, so the order of the context does not matter; queries are read
    by nobody, so each is answered as if it were alone. heads must divide width; generator: draws the first weights
    (PyTorch's own initialisation). Source: chapter "Trained end to end", after Garg et al. (2022).
    """

    def __init__(self, d: int, width: int = 32, depth: int = 4, heads: int = 4, *, generator: torch.Generator) -> None:
        super().__init__()
        sizes = {"d": d, "width": width, "depth": depth, "heads": heads}
        self.sizes = {name: validate.whole(name, size, 1) for name, size in sizes.items()}
        if width % heads:
            raise validate.fail("heads", heads, f"a divisor of width = {width}")
        seed = int(torch.randint(2**31, (), generator=validate.seeded(generator)))
        with torch.random.fork_rng(devices=[]):  # PyTorch initialises from its global generator: use it, put it back
            torch.manual_seed(seed)
            self.embed = nn.Linear(d + 1, width)
            self.blocks = nn.ModuleList([Block(width, heads) for _ in range(depth)])
            self.norm, self.readout = nn.LayerNorm(width), nn.Linear(width, 1)

    @property
    def depth(self) -> int:
        """The number of blocks."""
        return len(self.blocks)

    def states(self, prompts: Prompts, x_query: Float[Tensor, "B q d"]) -> list[Float[Tensor, "B n+q width"]]:
        """Return the tokens before the first block and after every block, the context first."""
        _, n, d = prompts.x.shape
        if d != self.sizes["d"]:
            raise validate.fail("prompts", f"points in R^{d}", f"points in R^{self.sizes['d']}")
        context = torch.cat([prompts.x, prompts.y[..., None]], -1)
        asked = torch.cat([x_query, torch.zeros_like(x_query[..., :1])], -1)
        states = [self.embed(torch.cat([context, asked], 1))]
        for block in self.blocks:
            states.append(block(states[-1], n))
        return states

    def answer(self, state: Float[Tensor, "B N width"]) -> Float[Tensor, "B N"]:
        """Return the logit that is read off each token, whichever block it comes from (the "logit lens")."""
        return self.readout(self.norm(state))[..., 0]

    def decision(self, prompts: Prompts, x_query: Float[Tensor, "B q d"] | None = None) -> Float[Tensor, "B q"]:
        """Return the logit of the label +1 for each query (the prompts' own unless ``x_query`` is given)."""
        x_query = prompts.x_query if x_query is None else x_query
        if x_query is None:
            raise validate.fail("x_query", "None", "a tensor [B, q, d], or prompts that hold queries")
        B, n, d = prompts.x.shape
        validate.shaped("x_query", x_query, "B q d", B=B, d=d)
        validate.same_kind("x_query", x_query, "prompts", prompts.x)
        return self.answer(self.states(prompts, x_query)[-1][:, n:])

    forward = decision

    def extra_repr(self) -> str:
        """Return the sizes as text, for the repr."""
        return ", ".join(f"{name}={size}" for name, size in self.sizes.items())
