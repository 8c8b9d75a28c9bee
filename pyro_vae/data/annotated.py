"""AnnData: a matrix of cells and genes with the names of both."""

from typing import Any

import numpy as np

PARTS = ("X", "obs_names", "var_names")


def is_anndata(x: Any) -> bool:
    """Whether x is an AnnData object, by the names that its class has; nothing is imported.

    Example:
        >>> is_anndata(np.zeros((3, 2)))
        False
    """
    return all(hasattr(type(x), part) for part in PARTS)


def matrix_of(x: Any, name: str) -> Any:
    """The matrix `.X` of an AnnData object: an array, a sparse matrix, or a dataset in its file.

    Raises:
        ValueError: an object without X.
    """
    matrix = x.X
    if matrix is None:
        layers = ", ".join(map(repr, getattr(x, "layers", {}))) or "none"
        raise ValueError(
            f"{name}: expected an AnnData object with X, got None (layers: {layers}); pass a "
            "layer, such as adata.layers['counts']"
        )
    if hasattr(matrix, "to_memory"):  # sparse and in its file
        return matrix.to_memory()
    if isinstance(matrix, np.ndarray) and not isinstance(matrix, np.memmap):
        return np.asarray(matrix)  # without the tie to its AnnData object
    return matrix
