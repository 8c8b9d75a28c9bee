"""Rows of sparse matrices: kept sparse, and cut into dense rows batch by batch."""

import math
import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.data.placement import as_tensor

LAYOUTS = {
    torch.sparse_coo,
    torch.sparse_csr,
    torch.sparse_csc,
    torch.sparse_bsr,
    torch.sparse_bsc,
}


class SparseArray:
    """An array of rows that is stored as a sparse matrix in CSR form.

    It has the shape, dtype, length and row indices of an array, and stays sparse under them;
    `numpy.asarray` makes it dense.

    Arguments:
        matrix: SciPy sparse matrix or array (n, columns), or a torch sparse tensor; those of more
            dimensions have rows of more dimensions.
        row_shape: of a dense row, with as many numbers as the matrix has columns; by default that
            of the matrix.

    Attributes:
        matrix: `scipy.sparse.csr_array` (n, columns), which shares the memory of a CSR matrix.

    Raises:
        ValueError: a matrix of less than two dimensions, or another number of columns than
            `row_shape` has numbers.

    Example:
        >>> import scipy.sparse
        >>> rows = SparseArray(scipy.sparse.csr_array(np.eye(4)), (2, 2))
        >>> rows.shape, rows[1:3].shape, np.asarray(rows)[3, 1, 1].item()
        ((4, 2, 2), (2, 2, 2), 1.0)
    """

    def __init__(self, matrix: Any, row_shape: tuple[int, ...] | None = None) -> None:
        given = _to_scipy(matrix) if isinstance(matrix, Tensor) else matrix
        if len(given.shape) < 2:
            raise ValueError(
                "expected a sparse matrix of shape (n, columns), got shape "
                f"{tuple(given.shape)}; reshape it"
            )
        self.row_shape = tuple(given.shape[1:]) if row_shape is None else row_shape
        if math.prod(self.row_shape) != math.prod(given.shape[1:]):
            raise ValueError(
                f"expected {math.prod(self.row_shape)} columns for rows of shape "
                f"{self.row_shape}, got shape {tuple(given.shape)}"
            )
        self.matrix = _to_csr(given)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self.row_shape)

    @property
    def ndim(self) -> int:
        return 1 + len(self.row_shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self.matrix.dtype
        return dtype

    def __len__(self) -> int:
        return int(self.matrix.shape[0])

    def __getitem__(self, rows: Any) -> "SparseArray":
        """Some rows, by a slice, or by an array of indices or truth values."""
        if not isinstance(rows, slice) and np.ndim(rows) != 1:
            raise ValueError(
                f"expected a slice or an array of rows, got {rows!r}; a single row is x[i : i + 1]"
            )
        return SparseArray(self.matrix[rows], self.row_shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("a sparse array can't become dense without a copy")
        dense = self.matrix.toarray().reshape(self.shape)
        return np.asarray(dense, dtype=dtype)

    def __repr__(self) -> str:
        return f"SparseArray(shape={self.shape}, dtype={self.dtype}, stored={self.matrix.nnz})"

    def reshape(self, rows: int, *row_shape: int) -> "SparseArray":
        """The same rows in another shape; `rows` is their number, or -1."""
        if rows not in {-1, len(self)}:
            raise ValueError(f"expected {len(self)} rows or -1, got {rows}")
        return SparseArray(self.matrix, row_shape)

    def cut(self, index: slice | Tensor) -> Tensor:
        """The rows at `index` as a dense tensor."""
        chosen = self[index if isinstance(index, slice) else index.cpu().numpy()]
        return as_tensor(np.asarray(chosen))


def dense(x: Any) -> Any:
    """A sparse matrix as a NumPy array; anything else as it is.

    Example:
        >>> dense(torch.eye(2).to_sparse())
        array([[1., 0.],
               [0., 1.]], dtype=float32)
    """
    return np.asarray(SparseArray(x)) if is_sparse(x) else x


def is_sparse(x: Any) -> bool:
    """Whether x is a SciPy sparse matrix or array, or a torch sparse tensor.

    Example:
        >>> is_sparse(torch.eye(2).to_sparse()), is_sparse(torch.eye(2))
        (True, False)
    """
    if isinstance(x, Tensor):
        return x.layout in LAYOUTS
    scipy_sparse = sys.modules.get("scipy.sparse")  # imported where such an x was made
    return scipy_sparse is not None and bool(scipy_sparse.issparse(x))


def _to_csr(matrix: Any) -> Any:
    """A SciPy sparse array as CSR, in whose rows the indices of all other axes are one."""
    from scipy.sparse import csr_array

    if len(matrix.shape) > 2:  # COO, the only form of more than two dimensions
        matrix = matrix.reshape(matrix.shape[0], -1)
    return csr_array(matrix)


def _to_scipy(tensor: Tensor) -> Any:
    """A torch sparse tensor as a SciPy sparse array; entries of one position are summed later."""
    from scipy.sparse import coo_array, csr_array

    given = tensor.detach().cpu()
    if given.dtype in {torch.float16, torch.bfloat16}:  # which SciPy doesn't have
        given = given.float()
    if given.layout == torch.sparse_csr and given.ndim == 2:
        parts = (given.values(), given.col_indices(), given.crow_indices())
        if given.values().ndim == 1:
            return csr_array(tuple(part.numpy() for part in parts), tuple(given.shape))
    given = given.to_sparse_coo()
    if given.dense_dim() > 0:
        raise ValueError(
            f"expected a sparse tensor without dense dimensions, got {given.dense_dim()}; pass "
            "x.to_dense()"
        )
    indices = tuple(given._indices().numpy())
    return coo_array((given._values().numpy(), indices), tuple(given.shape))
