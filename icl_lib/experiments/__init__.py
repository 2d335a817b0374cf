"""Experiments whose tables the library ships: each module holds its cells and is one command that makes its table."""
