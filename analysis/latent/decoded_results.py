"""What `traverse` and `manifold` find: E[x | z] along z."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyro_vae.analysis.results.answer import Answer, Total


@dataclass(frozen=True, repr=False)
class Traversal(Answer):
    """E[x | z] where one dimension of z is varied and the others stay at their mean under q(z).

    Attributes:
        dimensions: which are varied, (d,).
        z: the values of each, from the 2 % to the 98 % quantile of q(z), (d, steps).
        mean: E[x | z], (d, steps, *data_shape); nan in columns of categories, which have none.
        scale: the standard deviation of each number of a row over the rows, data_shape.
        names: of the columns; None where neither model nor data know any.
        context: in which z is decoded, in words; empty for a model without one.

    Example:
        >>> z = np.array([[-1.0, 1.0]])
        >>> found = Traversal(np.array([3]), z, z[..., None], np.ones(1), ("mass",))
        >>> found.to_dataframe()["mean[0]"].tolist()
        [-1.0, 1.0]
    """

    dimensions: np.ndarray
    z: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    names: tuple[Any, ...] | None = None
    context: str = ""

    @property
    def reading(self) -> str:
        return (
            f"mean is {_symbol(self.context)} along a dimension of z, from the 2 % to the 98 % "
            f"quantile of q(z); the others are at their mean{_where(self.context)}"
        )

    def totals(self) -> Sequence[Total]:
        dimensions, steps = self.z.shape
        return [Total("dimensions", dimensions), Total("steps of each", steps)]

    def columns(self) -> Mapping[str, np.ndarray]:
        steps = self.z.shape[1]
        means = self.mean.reshape(self.z.size, -1)
        each = {f"mean[{i}]": column for i, column in enumerate(means.T)}
        dimension = np.repeat(self.dimensions, steps)
        return {"dimension": dimension, "z": self.z.ravel(), **each}

    def __repr__(self) -> str:
        return (
            f"Traversal(dimensions={self.dimensions.tolist()}, steps={self.z.shape[1]})"
        )


@dataclass(frozen=True, repr=False)
class Manifold(Answer):
    """E[x | z] on a grid of two dimensions of z, the others at their mean.

    Attributes:
        dimensions: the two.
        first, second: their values, (a,) and (b,).
        mean: E[x | z], (b, a, *data_shape); nan in columns of categories, which have none.
        names: of the columns; None where the model knows none.
        context: in which z is decoded, in words; empty for a model without one.

    Example:
        >>> z = np.array([-1.0, 1.0])
        >>> Manifold((0, 1), z, z, np.zeros((2, 2, 3)))
        Manifold(dimensions=(0, 1), grid=(2, 2))
    """

    dimensions: tuple[int, int]
    first: np.ndarray
    second: np.ndarray
    mean: np.ndarray
    names: tuple[Any, ...] | None = None
    context: str = ""

    @property
    def reading(self) -> str:
        return (
            f"mean is {_symbol(self.context)} on a grid of two dimensions of z, the others at "
            f"their mean{_where(self.context)}"
        )

    def totals(self) -> Sequence[Total]:
        return [Total("points", self.mean.shape[0] * self.mean.shape[1])]

    def columns(self) -> Mapping[str, np.ndarray]:
        second, first = np.meshgrid(self.second, self.first, indexing="ij")
        means = self.mean.reshape(first.size, -1)
        each = {f"mean[{i}]": column for i, column in enumerate(means.T)}
        return {"first": first.ravel(), "second": second.ravel(), **each}

    def __repr__(self) -> str:
        return f"Manifold(dimensions={self.dimensions}, grid={self.mean.shape[:2]})"


def _symbol(context: str) -> str:
    return "E[x | z, c]" if context else "E[x | z]"


def _where(context: str) -> str:
    return f", in the context {context}" if context else ""
