"""Would the theorem on features notice a head that is slightly wrong?"""

import pytest
import torch
from strategies import seeded

import icl_lib as icl
from icl_lib.contexts import FAMILIES
from icl_lib.theorems import features

BUGS = {
    "C too small by 1e-9": lambda u, v, n, C: features.product_heads(u, v, n, C * (1 - 1e-9)),
    "no positions": lambda u, v, n, C: features.product_heads(u, v, n, 0.0),
    "u off by 1e-9": lambda u, v, n, C: features.product_heads(u * (1 + 1e-9), v, n, C),
    "both heads of one sign": lambda u, v, n, C: _changed(u, v, n, C, lambda layer: layer.score[1].mul_(0)),
    "a head that averages over tokens": lambda u, v, n, C: _changed(u, v, n, C, lambda layer: layer.value.div_(n)),
    "a head that writes the point too": lambda u, v, n, C: _changed(
        u, v, n, C, lambda layer: layer.value[0, 0].add_(1e-6)
    ),
}


def _changed(u, v, n, C, change):
    layer = RIGHT(u, v, n, C)
    change(layer)
    return layer


RIGHT = features.product_heads


@pytest.mark.parametrize("bug", BUGS)
def test_the_theorem_notices(monkeypatch, bug):
    right, wrong = RIGHT, BUGS[bug]

    def planted(u, v, n, C):
        monkeypatch.setattr(features, "product_heads", right)  # the bug itself builds on the right heads
        try:
            return wrong(u, v, n, C)
        finally:
            monkeypatch.setattr(features, "product_heads", planted)

    monkeypatch.setattr(features, "product_heads", planted)
    theorem = icl.THEOREMS["thm-featurizer"]
    made = (theorem.instance(seeded(seed), 16, family) for family in FAMILIES for seed in range(2))
    assert any(bool((theorem.check(instance) < 0).any()) for instance in made)


def test_the_heads_write_product_and_both_halves():
    u, v = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    x = torch.tensor([[[2.0, 3.0], [-1.0, 4.0]]], dtype=torch.float64)
    after = features.product_heads(u, v, 2, 8.0)(features._tokens(x))
    assert after[0, :, 2:5].tolist() == [[6, 6, 0], [-4, 0, 4]]
    leaky = features.product_heads(u, v, 2, 7.0)(features._tokens(x))
    assert leaky[0, 0, 2] == 7  # 2 * 4 is 1 above C
