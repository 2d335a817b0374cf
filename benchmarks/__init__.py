"""Speed, always as a ratio against what a user would pick instead, in one process: ``python -m benchmarks``.

Contestants take turns, so that a noisy moment hits all alike; what is reported is the median over the turns of the
ratio of two times taken in the same turn, with its distribution-free interval. Nothing here is asserted by a test.
"""
