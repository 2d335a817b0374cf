"""The coded exercise of chapter 17, "Cost and scale"."""

from __future__ import annotations

from .base import Exercise


def _stub(B, n, d, T, width, gflops, gbytes, cached):
    return 0.0


def least_seconds_solution(B, n, d, T, width, gflops, gbytes, cached):
    operations = 4 * n * d * T * B
    moved = width * n * d * B * (1 if cached else 2 * T)
    return max(operations / (gflops * 1e9), moved / (gbytes * 1e9))


def _parts(B, n, d, T, width, gflops, gbytes, cached):
    """Seconds of arithmetic and seconds of transfer."""
    return 4 * n * d * T * B / gflops / 1e9, width * n * d * B * (1 if cached else 2 * T) / gbytes / 1e9


def _added(*case):
    return sum(_parts(*case))


def _arithmetic_only(*case):
    return _parts(*case)[0]


def _transfer_only(*case):
    return _parts(*case)[1]


def _smaller(*case):
    return min(_parts(*case))


def _half_the_operations(*case):
    work, transfer = _parts(*case)
    return max(work / 2, transfer)


def _entries(*case):
    work, transfer = _parts(*case)
    return max(work, transfer / case[4])


def _read_once(*case):
    work, transfer = _parts(*case)
    return max(work, transfer if case[-1] else transfer / 2)


def _no_cache(*case):
    return max(_parts(*case[:-1], False))


def _cached_every_loop(*case):
    work, transfer = _parts(*case)
    return max(work, transfer * case[3] if case[-1] else transfer)


def _one_prompt(B, *case):
    return max(_parts(1, *case))


def _units(*case):
    return max(_parts(*case)) * 1e9


def _one_loop(*case):
    work, transfer = _parts(*case)
    return max(work / case[3], transfer)


def _bits(*case):
    work, transfer = _parts(*case)
    return max(work, transfer * 8)


def _cache_inverted(*case):
    return max(_parts(*case[:-1], not case[-1]))


def _two_copies(*case):
    work, transfer = _parts(*case)
    return max(work, transfer * (2 if case[-1] else 1))


def _all_bytes(B, n, d, T, width, gflops, gbytes, cached):
    loops = 1 if cached else T
    moved = width * B * loops * (2 * n * d + 6 * n + 5 * d)
    return max(4 * n * d * T * B / gflops, moved / gbytes) / 1e9


def _vectors_too(B, n, d, T, width, gflops, gbytes, cached):
    tokens = (1 if cached else 2 * T) * n * d
    return max(4 * n * d * T * B / gflops, width * B * (tokens + T * (6 * n + 5 * d)) / gbytes) / 1e9


_ALL_BYTES = "You count all that a loop moves, scores and vectors too. Here only the tokens count."

# (B, n, d, T, width, gflops, gbytes, cached): limited by transfer, by arithmetic, and by each again; in the last one
# by arithmetic even if there were a single loop
_CASES = [
    (1000, 64, 16, 100, 4, 100.0, 10.0, False),
    (1000, 64, 16, 100, 4, 100.0, 10.0, True),
    (200, 256, 32, 1, 4, 100.0, 10.0, True),
    (50, 128, 64, 30, 2, 20.0, 40.0, False),
    (50, 128, 64, 30, 8, 20.0, 10.0, False),
    (50, 128, 64, 3, 2, 5.0, 400.0, False),
]

least_seconds = Exercise(
    title="The least time",
    difficulty=1,
    importance=3,
    minutes=10,
    stub=_stub,
    solution=least_seconds_solution,
    cases=_CASES,
    mistakes={
        "times added": (
            _added,
            "You add arithmetic and transfer. A machine does both at once: what is the least time then?",
        ),
        "operations of one loop": (_one_loop, "Your operations are those of one loop. How many loops are there?"),
        "bits for bytes": (_bits, "You count 8 bits for each byte; the rate of the memory is in bytes."),
        "cache inverted": (_cache_inverted, "You have it the other way round: with a cache, tokens come once."),
        "two copies": (_two_copies, "You move two copies of cached tokens. One comes from memory; count that."),
        "all bytes of a loop": (_all_bytes, _ALL_BYTES),
        "all bytes of the loops": (_vectors_too, _ALL_BYTES),
        "arithmetic only": (_arithmetic_only, "You count operations only. Can the tokens arrive in that time?"),
        "transfer only": (_transfer_only, "You count bytes only. One of the cases has its tokens in the cache."),
        "the smaller time": (_smaller, "You take the smaller of the two times. Which of them must be waited for?"),
        "half the operations": (
            _half_the_operations,
            "Your arithmetic is half of what it is. A loop has two products with the tokens, each adds and multiplies.",
        ),
        "entries for bytes": (_entries, "You count numbers where bytes are asked for. How wide is a number?"),
        "tokens read once a loop": (
            _read_once,
            "Without a cache you read the tokens once in a loop. The scores need them, and then the mean.",
        ),
        "cache ignored": (_no_cache, "Tokens that stay in the cache come from memory once, not in every loop."),
        "cached, yet every loop": (
            _cached_every_loop,
            "What stays in the cache does not come again in the next loop: depth multiplies operations only.",
        ),
        "one prompt": (_one_prompt, "This is the time of one prompt. Where is the size of the batch?"),
        "billions forgotten": (_units, "Your times are a billion times too long: look at the units of the two rates."),
    },
    first_hint="Two times, one for the operations and one for the bytes: which of them has to be waited for?",
    praise="This is the roofline, as a time: the larger of two, and depth raises only one of them in the cache.",
)
