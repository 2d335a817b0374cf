"""Checkpoints: one safetensors file that carries its settings as JSON. Nothing is ever unpickled."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from . import validate

FORMAT = "icl_lib checkpoint 1"


def save(path: str | Path, tensors: dict[str, Tensor], settings: dict) -> None:
    """Write tensors and settings (JSON values) to ``path``, atomically: the old file stays whole until the new one is.

    The file is written beside its place, flushed to the disk and renamed, so that a killed process leaves either the
    old or the new file, never half of one.
    """
    from safetensors.torch import save as to_bytes

    path = Path(path)
    header = {"format": FORMAT, "settings": json.dumps(settings, sort_keys=True)}
    data = to_bytes({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, metadata=header)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """Return the tensors and settings of a checkpoint.

    Raises BadInput naming the file if it is missing, truncated, corrupt, not one of ours, or holds NaN or infinity.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise validate.fail("checkpoint", f"no file {path.name}", "a checkpoint written by icl_lib")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if header.get("format") != FORMAT:
            seen = f"{path.name} with format {header.get('format')!r}"
            raise validate.fail("checkpoint", seen, f"a file with format {FORMAT!r}")
        settings = json.loads(header["settings"])
    except (SafetensorError, ValueError, KeyError) as error:
        if isinstance(error, validate.BadInput):
            raise
        raise validate.fail(
            "checkpoint", f"{path.name}, which cannot be read ({error})", "a whole checkpoint"
        ) from error
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all() and not name.startswith("history."):
            raise validate.fail("checkpoint", f"{path.name} with non-finite {name}", "finite weights")
    return tensors, settings
