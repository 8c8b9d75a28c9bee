"""The record of a run in its folder: all options with their values, fingerprint, versions."""

import hashlib
import math
from typing import Any

import numpy as np

from pyro_vae.data import Splits
from pyro_vae.data.arrays import LARGEST
from pyro_vae.experiment.description import Experiment
from pyro_vae.experiment.fields import absolute_source
from pyro_vae.spec import Spec
from pyro_vae.version import versions

TABLES = tuple(
    name for name in Experiment.model_fields if name not in Spec.model_fields
)
"""The fields of an experiment that don't describe its model: data, fit, evaluate."""

_ROWS = 4096
"""Rows that are read together at most, so that a file is never read as a whole."""


def record(experiment: Experiment, source: Splits) -> dict[str, Any]:
    """The tables of an experiment with all their values, where the rows are, and versions.

    Example:
        >>> rows = Splits("rows", np.zeros((3, 2)), None, None, None)
        >>> sorted(record(Experiment(), rows))
        ['columns', 'data', 'evaluate', 'fingerprint', 'fit', 'source_path', 'versions']
    """
    fields = experiment.model_dump(mode="json")
    tables = {name: fields[name] for name in TABLES}
    return {
        **tables,
        "source_path": absolute_source(experiment.data.source),
        "fingerprint": fingerprint(source),
        "versions": versions(),
    }


def fingerprint(source: Splits) -> dict[str, Any]:
    """The numbers of rows, and the SHA-256 of shapes and values, whatever type a file stores.

    Example:
        >>> small = np.array([[0, 1]], np.uint8)
        >>> fingerprint(Splits("a", small, None, None, None))["train"]
        1
        >>> wide = fingerprint(Splits("b", small.astype(float), None, None, None))
        >>> wide == fingerprint(Splits("a", small, None, None, None))
        True
    """
    digest = hashlib.sha256()
    counts = {}
    for name in ("train", "valid", "test"):
        rows = getattr(source, name)
        if rows is None:
            continue
        counts[name] = len(rows)
        digest.update(f"{name} {rows.shape}".encode())
        count = max(1, min(_ROWS, LARGEST // math.prod(rows.shape[1:])))
        for start in range(0, len(rows), count):
            values = np.asarray(rows[start : start + count], dtype="<f8")
            digest.update((values + 0.0).tobytes())  # -0.0 is 0.0
    return {**counts, "sha256": digest.hexdigest()}
