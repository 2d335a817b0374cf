"""Checkpoints: one safetensors file that carries its settings as JSON. Nothing is ever unpickled.

The file's header holds the format's name, the library's version, the settings, and a SHA-256 digest of settings and
tensors, so that a damaged file is told from a whole one even where it can still be read.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from pathlib import Path

import torch
from torch import Tensor

from . import validate

FORMAT = "icl_lib checkpoint 1"


def save(path: str | Path, tensors: dict[str, Tensor], settings: dict) -> None:
    """Write tensors and settings (JSON values) to ``path``, atomically: the old file stays whole until the new one is.

    The file is written beside its place, flushed to the disk and renamed, so that a killed process leaves either the
    old or the new file, never half of one (and perhaps a stray file ending in ``.part``, which nobody reads). Raises
    BadInput, before anything is written, for what :func:`load` would refuse: a tensor that holds NaN or infinity; and
    for a ``path`` that holds a file other than a checkpoint, which is left alone.
    """
    from safetensors.torch import save as to_bytes

    from . import __version__

    path = validate.place("checkpoint", path)
    if path.exists():
        _header(path)
    tensors = {name: _finite(path, name, t.detach().cpu().contiguous()) for name, t in tensors.items()}
    text = json.dumps(settings, sort_keys=True)
    header = {"format": FORMAT, "version": __version__, "settings": text, "sha256": _digest(tensors, text)}
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with part.open("xb") as file:
            file.write(to_bytes(tensors, metadata=header))
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def load(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """Return the tensors and the settings of a checkpoint, exactly as they were saved.

    Raises BadInput naming the file if it is missing, truncated, corrupt, not one of ours, or holds NaN or infinity.
    """
    from safetensors.torch import load as from_bytes

    path = validate.place("checkpoint", path)
    if not path.exists():
        raise validate.fail("checkpoint", f"no file {path.name}", "a checkpoint written by icl_lib")
    header = _header(path)
    tensors = from_bytes(path.read_bytes())
    if header.get("sha256") != _digest(tensors, header.get("settings", "")):
        raise _damaged(path, "its digest does not fit its content")
    return {name: _finite(path, name, t) for name, t in tensors.items()}, json.loads(header["settings"])


def _header(path: Path) -> dict[str, str]:
    """The header of a file that is a checkpoint; BadInput if it is not one."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error
    if header.get("format") != FORMAT:
        seen = f"{path.name} with format {header.get('format')!r}"
        raise validate.fail("checkpoint", seen, f"a file with format {FORMAT!r}")
    return header


def _damaged(path: Path, why: object) -> validate.BadInput:
    return validate.fail("checkpoint", f"{path.name}, which cannot be read ({why})", "a whole checkpoint")


def _finite(path: Path, name: str, tensor: Tensor) -> Tensor:
    if not torch.isfinite(tensor).all():
        raise validate.fail("checkpoint", f"{path.name} with non-finite {name}", "finite numbers")
    return tensor


def _digest(tensors: dict[str, Tensor], settings: str) -> str:
    """SHA-256 of the settings and of every tensor's name, dtype, shape and bytes."""
    digest = hashlib.sha256(settings.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
