"""SHA-256 of files, descriptions and tensors: what has changed since it was written is known."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

__all__ = [
    "content_sha256",
    "file_sha256",
    "is_sealed",
    "save_tensors",
    "sealed",
]

SEAL = "sha256"
"""The entry of a description with the SHA-256 of all others."""


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        OSError: a file that can't be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sealed(description: Mapping[str, Any]) -> dict[str, Any]:
    """A description with the SHA-256 of its content, which doesn't depend on how JSON is laid out.

    Example:
        >>> is_sealed(sealed({"format": 2}))
        True
        >>> is_sealed({**sealed({"format": 2}), "format": 3})
        False
    """
    return {**description, SEAL: _content(description)}


def is_sealed(description: Mapping[str, Any]) -> bool:
    """Whether a description has the content that it was sealed with."""
    return description.get(SEAL) == _content(description)


def _content(description: Mapping[str, Any]) -> str:
    others = {name: value for name, value in description.items() if name != SEAL}
    text = json.dumps(others, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def content_sha256(tensors: Mapping[str, Tensor], text: str) -> str:
    """The SHA-256 of a text and of tensors on the CPU: their names, types, shapes and bytes.

    Example:
        >>> same = [content_sha256({"a": torch.ones(2)}, "text") for _ in range(2)]
        >>> same[0] == same[1] != content_sha256({"a": torch.zeros(2)}, "text")
        True
    """
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"\0{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_tensors(
    tensors: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None
) -> str:
    """Write a file of tensors (safetensors); the SHA-256 of its bytes.

    They are made in memory: what safetensors writes itself leaves temporary files where it is
    killed, and a full disk is no OSError there.

    Raises:
        OSError: a full disk and the like.
    """
    content = save(tensors, metadata)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()
