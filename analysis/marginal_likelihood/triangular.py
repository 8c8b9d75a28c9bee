"""Lower triangular matrices, one for each row: Cholesky factors of covariances."""

import torch
from torch import Tensor


def times(matrix: Tensor, vectors: Tensor) -> Tensor:
    """A v for the matrix A (rows, n, m) of each row and vectors v (draws, rows, m).

    Example:
        >>> times(2 * torch.eye(3).expand(4, 3, 3), torch.ones(5, 4, 3)).shape
        torch.Size([5, 4, 3])
    """
    # one matrix product for each row, whose draws then lie together
    return (vectors.transpose(0, 1) @ matrix.mT).transpose(0, 1)


def lower_triangular(raw: Tensor) -> Tensor:
    """A lower triangular matrix with a positive diagonal; the identity for zeros.

    To first order it is I + T for the lower triangle T of `raw`.
    """
    diagonal = raw.diagonal(dim1=-2, dim2=-1).exp()
    return raw.tril(-1) + torch.diag_embed(diagonal)


def log_det(tril: Tensor) -> Tensor:
    """The log determinant of lower triangular matrices with a positive diagonal, (rows,)."""
    return tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
