"""What the tests of the trainer share: small runs, what makes two of them the same, and a reader who interrupts."""

import torch
from strategies import seeded

import icl_lib as icl

SMALL = {"steps": 12, "batch": 8, "n": 5, "lr": 0.1, "snapshots": (0, 4, 12), "checkpoint_every": 4, "progress": False}


def start(d=2, seed=0, **kind):
    return icl.SoftmaxAttention.random(d, generator=seeded(seed), **kind)


def train(layer=None, task=None, teacher="ngd", seed=1, generator=None, **settings):
    """A small run: settings are SMALL's unless told otherwise."""
    layer = start() if layer is None else layer
    generator = seeded(seed) if generator is None else generator
    return icl.train_one_step(layer, task or icl.LinearTask(layer.d), teacher, generator=generator, **SMALL | settings)


def matrices(layer):
    return torch.stack([layer.score.detach(), layer.value.detach()]).clone()


def assert_same_run(a, b):
    """Bit for bit, the clock apart."""
    assert a.settings == b.settings
    assert (a.diverged, a.final_distance) == (b.diverged, b.final_distance)
    assert torch.equal(a.loss, b.loss)
    assert a.distance.keys() == b.distance.keys()
    assert all(torch.equal(a.distance[k], b.distance[k]) for k in a.distance)
    assert torch.equal(matrices(a.layer), matrices(b.layer))
    assert list(a.snapshots) == list(b.snapshots)
    assert all(torch.equal(x, y) for k in a.snapshots for x, y in zip(a.snapshots[k], b.snapshots[k], strict=True))


class Interrupted:
    """The NGD teacher, and a reader who presses Ctrl-C at the given step, counted over all sessions."""

    def __init__(self, *at):
        self.at, self.calls = at, 0

    def __call__(self, w, z, step):
        self.calls += 1
        if self.calls in self.at:
            raise KeyboardInterrupt
        return icl.TEACHERS["ngd"](w, z, step)
