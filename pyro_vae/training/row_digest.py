"""A digest of all rows of a run, made as they pass; that of a DataLoader ignores their order."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from pyro_vae.data import LoaderRows, Rows
from pyro_vae.training.weights import RowWeights

_WIDE = 2**128


class RowDigest:
    """The SHA-256 of rows one after another, or the sum of the digests of each.

    Arguments:
        ordered: whether their order counts.

    Example:
        >>> ordered, backwards, unordered = RowDigest(), RowDigest(), RowDigest(ordered=False)
        >>> ordered.update(torch.eye(2))
        >>> backwards.update(torch.eye(2).flip(0))
        >>> unordered.update(torch.eye(2))
        >>> ordered.text == backwards.text, ordered.text[:16], unordered.text[:18]
        (False, '2 rows, SHA-256 ', '2 rows of a loader')
    """

    def __init__(self, *, ordered: bool = True) -> None:
        self.ordered = ordered
        self.count = 0
        self._digest = hashlib.sha256()
        self._sum = 0

    def update(self, batch: Tensor) -> None:
        """Take in some rows."""
        self.count += len(batch)
        flat = batch.detach().cpu().contiguous().reshape(len(batch), -1)
        rows = flat.view(torch.uint8).numpy()
        if self.ordered:
            self._digest.update(rows.data)
            return
        for row in rows:
            digest = hashlib.blake2b(row, digest_size=16).digest()
            self._sum = (self._sum + int.from_bytes(digest, "little")) % _WIDE

    @property
    def text(self) -> str:
        """The number of rows and their digest."""
        if self.ordered:
            return f"{self.count} rows, SHA-256 {self._digest.hexdigest()}"
        return f"{self.count} rows of a loader, sum of hashes {self._sum:032x}"


def digests_of(named: Mapping[str, Rows]) -> dict[str, RowDigest]:
    """Empty digests for rows by name."""
    return {
        name: RowDigest(ordered=not isinstance(rows, LoaderRows))
        for name, rows in named.items()
    }


def texts_of(
    digests: Mapping[str, RowDigest], weights: RowWeights | None
) -> dict[str, str]:
    """The digests of rows and of their weights as text."""
    texts = {name: digest.text for name, digest in digests.items()}
    if weights is None:
        return texts
    digest = RowDigest()
    for part in (weights.train, weights.valid):
        for batch in () if part is None else part.batches(4096):
            digest.update(batch)
    return {**texts, "weights": digest.text}
