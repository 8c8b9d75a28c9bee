"""The rows that an evaluation has done, in a file: one that was killed goes on from them."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from pyro_vae.analysis.fitted import Columns, concatenated
from pyro_vae.arguments import warn_caller
from pyro_vae.atomic_files import remove_drafts_of, require_permission, written_whole
from pyro_vae.checksums import SEAL, content_sha256, save_tensors
from pyro_vae.vae import VAE
from pyro_vae.version import versions

SECONDS = 10.0
"""Smallest time between two writings of a file."""
PAUSE = 50.0
"""Times as long as the last writing took, so that of many rows it takes 2 % of the time."""

Groups = dict[str, Columns]
"""The columns of groups of rows by the SHA-256 of the rows."""


class RowCheckpoint:
    """The columns of `Evidence` for groups of rows, each of which is estimated once.

    The file is written whole, at most every ten seconds and at the end, also after an error. It has
    a SHA-256 of its content, no pickle and no rows. What it holds of another model, of other
    options or versions of the libraries isn't used, and neither is what it holds of other rows.

    Arguments:
        path: the file; None keeps nothing.
        made_for: the SHA-256 of all but the rows that decides the numbers, see `made_for`.

    Raises:
        ValueError: a file of something else, or one that is damaged.

    Example:
        >>> checkpoint = RowCheckpoint(None, "")
        >>> x = torch.zeros(2, 4)
        >>> checkpoint.columns("first", x, lambda: {"se": np.array([0.1, 0.2])})
        {'se': array([0.1, 0.2])}
    """

    def __init__(self, path: str | os.PathLike[str] | None, made_for: str) -> None:
        self.path = None if path is None else Path(os.path.expanduser(path))
        self.made_for = made_for
        self.kept: dict[str, Groups] = {}
        self.due = time.monotonic() + SECONDS
        self.has_new = False
        if self.path is None:
            return
        remove_drafts_of(self.path)
        if self.path.exists():
            found, tensors = self.read(self.path)
            if found["made_for"] == self.made_for:
                self.kept = dict(_groups(found["groups"], tensors))

    @classmethod
    def of(
        cls,
        path: str | os.PathLike[str] | None,
        vae: VAE,
        options: Sequence[Any],
    ) -> Self:
        """The file for a model and for the options that decide the numbers."""
        return cls(path, "" if path is None else made_for(vae, options))

    @contextmanager
    def written_at_the_end(self) -> Iterator[None]:
        """After the block the file has all that was estimated in it."""
        try:
            yield
        finally:
            self._write()

    def columns(
        self, purpose: str, x: Tensor, estimate: Callable[[], Columns]
    ) -> Columns:
        """The columns of a group of rows: those of the file, or estimated now.

        Arguments:
            purpose: which of the estimates of a group.
            x: its rows.
            estimate: makes the columns.
        """
        if self.path is None:
            return estimate()
        key = content_sha256({"x": x.cpu()}, purpose)
        found = self.kept.get(purpose, {}).get(key)
        if found is None:
            found = estimate()
            self.kept.setdefault(purpose, {})[key] = found
            self.has_new = True
            if time.monotonic() >= self.due:
                self._write()
        return dict(found)

    def _write(self) -> None:
        """Write the file, where there is something new."""
        if self.path is None or not self.has_new:
            return
        self.has_new = False
        start = time.monotonic()
        tensors: dict[str, Tensor] = {}
        for purpose, groups in self.kept.items():
            for name, column in concatenated(list(groups.values())).items():
                tensors[f"{purpose}.{name}"] = _as_tensor(column)
        text = json.dumps({"made_for": self.made_for, "groups": self._sizes()})
        metadata = {"pyro_vae": text, SEAL: content_sha256(tensors, text)}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(self.path) as draft:
                save_tensors(tensors, draft, metadata)
        except OSError as error:
            warn_caller(
                "evidence: the checkpoint can't be written, and the evaluation goes on without: "
                f"{error}"
            )
        now = time.monotonic()
        self.due = now + max(SECONDS, PAUSE * (now - start))

    def _sizes(self) -> dict[str, dict[str, int]]:
        """The number of rows of each group by the hash of its rows, for each purpose."""
        return {
            purpose: {key: len(columns["se"]) for key, columns in groups.items()}
            for purpose, groups in self.kept.items()
        }

    @staticmethod
    def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """What a file was made for with the sizes of its groups, and the columns of all of them.

        Raises:
            ValueError: a file of something else, or one that is damaged.
        """
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
            text, seal = metadata["pyro_vae"], metadata[SEAL]
            tensors = load_file(path)
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            require_permission(path)
            raise ValueError(
                f"{path}: holds no evaluation: {error}; choose another file"
            ) from error
        if seal != content_sha256(tensors, text):
            raise ValueError(
                f"{path}: damaged: its content isn't that which was written (SHA-256); delete it "
                "and start again, or choose another file"
            )
        found: dict[str, Any] = json.loads(text)
        if "groups" not in found:
            raise ValueError(
                f"{path}: holds no evaluation, but something else; choose another file"
            )
        return found, tensors


def made_for(vae: VAE, options: Sequence[Any]) -> str:
    """The SHA-256 of weights, description and options, and of the versions of the libraries.

    Of a function of the user's it has the name, and of a module of the user's the weights.

    Example:
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> made_for(vae, ["seed", 0]) == made_for(vae, ["seed", 1])
        False
    """
    weights = {name: tensor.cpu() for name, tensor in vae.state_dict().items()}
    described = {
        "model": vae.spec.model_dump(mode="json"),
        "device": str(next(vae.parameters()).device),
        "options": list(options),
        "versions": versions(),
    }
    return content_sha256(weights, json.dumps(described, sort_keys=True, default=_name))


def _name(value: Any) -> str:
    """What is no JSON: a function by its name, and else what it shows of itself."""
    return str(getattr(value, "__qualname__", value))


def _groups(
    sizes: Mapping[str, Mapping[str, int]], tensors: Mapping[str, Tensor]
) -> Iterator[tuple[str, Groups]]:
    """The columns of each group, cut out of those of all groups of a purpose."""
    for purpose, counts in sizes.items():
        ends = np.cumsum(list(counts.values()))[:-1]
        columns = {
            name.removeprefix(f"{purpose}."): np.split(_as_array(tensor), ends)
            for name, tensor in tensors.items()
            if name.startswith(f"{purpose}.")
        }
        yield (
            purpose,
            {
                key: {name: parts[index] for name, parts in columns.items()}
                for index, key in enumerate(counts)
            },
        )


def _as_tensor(column: np.ndarray) -> Tensor:
    """A column for a file of tensors, which has no text: a row of characters' numbers for each.

    Example:
        >>> _as_array(_as_tensor(np.array(["guide", "refined"])))
        array(['guide', 'refined'], dtype='<U7')
    """
    if column.dtype.kind == "U":
        column = np.ascontiguousarray(column).view(np.int32).reshape(len(column), -1)
    return torch.from_numpy(np.ascontiguousarray(column))


def _as_array(tensor: Tensor) -> np.ndarray:
    """The inverse of `_as_tensor`."""
    column: np.ndarray = tensor.numpy()
    if column.ndim == 2:
        column = column.view(f"<U{column.shape[1]}").reshape(-1)
    return column
