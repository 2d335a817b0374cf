"""The first experiment of each question of homework 4, for the lecturer: what a pair should see at its setting.

    python book/homework/hw4_first_experiments.py A --d 5 --n 40 --seeds 3

One column a seed, from 0 on. Nothing here is handed out, and nothing that it prints is printed in the book.
"""

import argparse
import math

import torch
from scipy.stats import spearmanr

import icl_lib as icl

f64 = torch.float64


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def radius(z):
    return z.norm(dim=-1).amax(1)[:, None, None]


def loops(z, depth):
    """The path [depth + 1, B, d] of the loop with step 1 / R^2, each prompt in units of its own R."""
    return icl.ngd(z / radius(z), 1.0, depth)


def percent(error):
    return 100 * float(error.mean())


def chosen_examples(seed, d, n, batch=40, depths=(1, 10, 100, 1000)):
    p = icl.LinearTask(d).sample(batch, 4 * n, generator=seeded(seed), dtype=f64)
    order = (p.x * p.w_star[:, None]).sum(-1).abs().argsort(1)
    found = {}
    for name, pick in {"near": order[:, :n], "far": order[:, -n:], "any": torch.arange(n).expand(batch, n)}.items():
        path = loops(p.z.gather(1, pick[..., None].expand(-1, -1, d)), max(depths))
        found |= {f"{name}, depth {T}": percent(icl.exact_error(path[T], p.w_star)) for T in depths}
    return found


def growing_prompt(seed, d, n, batch=40, first=100, more=(10, 100, 1000)):
    p = icl.LinearTask(d).sample(batch, n, generator=seeded(seed), dtype=f64)
    z, found = p.normalized().z, {}
    half = icl.ngd(z[:, : n // 2], 1.0, first)[-1]
    found["error after the first half"] = percent(icl.exact_error(half, p.w_star))
    paths = {"gone on": icl.ngd(z, 1.0, max(more), half), "from 0": icl.ngd(z, 1.0, max(more))}
    for name, path in paths.items():
        for T in more:
            found[f"{name}, {T}: error"] = percent(icl.exact_error(path[T], p.w_star))
            found[f"{name}, {T}: 100 margins"] = 100 * float(icl.normalized_margin(path[T], z).mean())
    return found


def own_answers(seed, d, n, batch=40, rounds=3, depth=300):
    found = {}
    for name, task in {"Gaussian": icl.LinearTask(d), "clouds": icl.MixtureTask(d)}.items():
        p = task.sample(batch, 5 * n, generator=seeded(seed), dtype=f64)
        w = loops(p.z[:, :n], depth)[-1]
        for k in range(rounds + 1):
            found[f"{name}, round {k}: angle / pi"] = percent(icl.angle(w, p.w_star) / math.pi)
            own = (p.x[:, n:] * w[:, None]).sum(-1, keepdim=True).sign() * p.x[:, n:]
            w = loops(torch.cat([p.z[:, :n], own], 1), depth)[-1]
        found[f"{name}, told: angle / pi"] = percent(icl.angle(loops(p.z, depth)[-1], p.w_star) / math.pi)
    return found


def near_the_query(seed, d, n, batch=40, queries=20, depths=(3, 30, 300), betas=(0, 2, 8, 32)):
    found = {}
    for name, task in {"line": icl.LinearTask(2), "moons": icl.ShapeTask("moons", noise=0.3)}.items():
        p = task.sample(batch, n, queries, generator=seeded(seed), dtype=f64)
        x, ask = (torch.nn.functional.pad(part, (0, 1), value=1.0) for part in (p.x, p.x_query))
        R = radius(x)
        x, ask = x / R, ask / R
        z = p.y[..., None] * x
        for beta in betas:
            near, w = -beta * torch.cdist(ask, x).square(), torch.zeros_like(ask)
            for T in range(1, max(depths) + 1):
                w = w + torch.softmax(near - w @ z.mT, -1) @ z
                if T in depths:
                    wrong = icl.error_rate((w * ask).sum(-1), p.y_query)
                    found[f"{name}, beta {beta}, depth {T}"] = percent(wrong)
    return found


def which_mattered(seed, d, n, batch=20, depths=(10, 100, 1000)):
    z = icl.LinearTask(d).sample(batch, n, generator=seeded(seed), dtype=f64).normalized().z
    rest = torch.stack([torch.cat([z[:, :i], z[:, i + 1 :]], 1) for i in range(n)], 1).flatten(0, 1)
    path, without, found = icl.ngd(z, 1.0, max(depths)), icl.ngd(rest, 1.0, max(depths)), {}
    attention = torch.softmax(-icl.margins(path, z), -1)
    for T in depths:
        turned = icl.angle(without[T].view(batch, n, d), path[T][:, None].expand(batch, n, d))
        guesses = {"last layer": attention[T - 1], "sum": attention[:T].sum(0), "length": z.norm(dim=-1)}
        for name, guess in guesses.items():
            ranks = [spearmanr(a, b).statistic for a, b in zip(guess, turned, strict=True)]
            found[f"{name}, depth {T}"] = sum(ranks) / batch
    return found


def short_trainings(seed, d, n, heads=4, steps=60, sigma=0.5):
    g, task = seeded(seed), icl.LinearTask(d)

    def noisy(w, z, step):
        return icl.TEACHERS["ngd"](w, z, step) + sigma * torch.randn(w.shape, generator=g, dtype=f64)

    def train(steps):
        layer = icl.SoftmaxAttention.random(d, generator=g)
        options = {"lr": 0.5, "batch": 16, "n": n, "progress": False}
        return icl.train_one_step(layer, task, noisy, generator=g, steps=steps, **options).layer

    short = [train(steps) for _ in range(heads)]
    mean = [sum(part) / heads for part in zip(*((h.score, h.value) for h in short), strict=True)]
    contestants = {"one": short[0], "mean of four": icl.SoftmaxAttention(*mean), "one long": train(heads * steps)}
    p, found = task.sample(20, n, generator=g, dtype=f64).normalized(), {}
    exact = icl.ngd(p.z, 1.0, 300)[-1]
    for name, layer in contestants.items():
        found[f"{name}: distance"] = max(icl.one_step.distance_to_construction(layer, 1.0).values())
        turned = icl.angle(icl.Looped(layer, 300).final(p), exact)
        found[f"{name}: degrees after 300 loops"] = float(turned.rad2deg().mean())
    return found


EXPERIMENTS = {
    "A": chosen_examples,
    "B": growing_prompt,
    "C": own_answers,
    "D": near_the_query,
    "E": which_mattered,
    "F": short_trainings,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", choices=EXPERIMENTS)
    parser.add_argument("--d", type=int, default=5)
    parser.add_argument("--n", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    columns = [EXPERIMENTS[options.question](seed, options.d, options.n) for seed in range(options.seeds)]
    for name in columns[0]:
        print(f"{name:32}", *(f"{column[name]:8.3f}" for column in columns))


if __name__ == "__main__":
    main()
