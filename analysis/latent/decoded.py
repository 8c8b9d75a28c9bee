"""What z means: E[x | z] along single dimensions, and on a grid of two."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.analysis.fitted import (
    as_numpy,
    evaluation,
    has_samples,
    posterior_of,
)
from pyro_vae.analysis.imputation.cells import probabilities_of
from pyro_vae.analysis.results.answer import Answer, Total
from pyro_vae.analysis.results.tables import column_labels
from pyro_vae.arguments import as_int, public
from pyro_vae.inputs import placement_of, rows_of
from pyro_vae.likelihoods.base import representative
from pyro_vae.rng import own_seed
from pyro_vae.vae import VAE

__all__ = ["Manifold", "Traversal", "manifold", "traverse"]

ENDS = (0.02, 0.98)
"""The quantiles between which a dimension is varied."""
DRAWS = 10
"""Draws of q(z | x) for each row."""
PRIOR_DRAWS = 5000
MOST = 5
"""Dimensions that are varied by default."""


@dataclass(frozen=True, repr=False)
class Traversal(Answer):
    """E[x | z] where one dimension of z is varied and the others stay at their mean under q(z).

    Attributes:
        dimensions: which are varied, (d,).
        z: the values of each, from the 2 % to the 98 % quantile of q(z), (d, steps).
        mean: E[x | z], (d, steps, *data_shape); nan in columns of categories, which have none.
        scale: the standard deviation of each number of a row over the rows, data_shape.
        names: of the columns; None where neither model nor data know any.

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

    reading = (
        "mean is E[x | z] along a dimension of z, from the 2 % to the 98 % quantile of q(z); the "
        "others are at their mean"
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

    reading = (
        "mean is E[x | z] on a grid of two dimensions of z, the others at their mean"
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


@public
def traverse(
    vae: VAE,
    x: Any,
    *,
    dimensions: Sequence[int] | None = None,
    steps: int = 9,
    seed: int = 0,
) -> Traversal:
    """What each dimension of z does to a row: E[x | z] along it, the others at their mean.

    A dimension runs from the 2 % to the 98 % quantile of the aggregate posterior q(z), so that no z
    is decoded that the rows don't come near to.

    References:
        beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework (Higgins
        et al., 2017), for the pictures.

    Arguments:
        vae: a fitted model.
        x: rows shaped (n, *data_shape), for q(z).
        dimensions: which are varied; None takes up to 5, those whose mean varies most.
        steps: values of each, at least 2.
        seed: of the draws of q(z).

    Returns:
        `Traversal`; `pv.plot` draws it.

    Raises:
        ValueError: rows that don't fit the model, dimensions that it hasn't, fewer than 2 steps.

    Example:
        >>> found = traverse(VAE(data_shape=(4,), latent_dim=2), torch.zeros(3, 4), steps=5)
        >>> found.z.shape, found.mean.shape
        ((2, 5), (2, 5, 4))
    """
    as_int(steps, "steps", at_least=2)
    numbers = _checked(dimensions, vae.spec.latent_dim)
    means: list[Tensor] = []
    draws: list[Tensor] = []
    rows: list[Tensor] = []
    with evaluation(vae), own_seed(seed, placement_of(vae).device):
        for batch in rows_of(vae, x, "x"):
            q = posterior_of(vae, batch)
            means.append(q.mean)
            draws.append(q.sample(torch.Size([DRAWS])).flatten(0, 1))
            rows.append(batch)
    variance = as_numpy(torch.cat(means)).var(0)
    codes = as_numpy(torch.cat(draws)).astype(np.float64)
    if numbers is None:
        numbers = np.argsort(-variance, kind="stable")[:MOST]
    z = np.tile(codes.mean(0), (len(numbers), steps, 1))
    for i, d in enumerate(numbers):
        z[i, :, d] = _between(codes[:, d], steps)
    values = np.take_along_axis(z, numbers[:, None, None], 2)[..., 0]
    scale = np.nanstd(as_numpy(torch.cat(rows)).astype(np.float64), axis=0)
    names = _names(x, vae)
    return Traversal(numbers, values, _decoded(vae, z), scale, names)


@public
def manifold(
    vae: VAE,
    *,
    dimensions: Sequence[int] = (0, 1),
    steps: int = 12,
    seed: int = 0,
) -> Manifold:
    """E[x | z] on a grid of two dimensions of z, between the 2 % and 98 % quantiles of the prior.

    References:
        Auto-Encoding Variational Bayes (Kingma, Welling, 2014), figure 4, whose grid has equal
        probabilities; here the steps are equal, so that the picture has the scale of z.

    Arguments:
        vae: a fitted model with two or more latent dimensions.
        dimensions: the two; the others are at the mean of the prior.
        steps: of each of the two, at least 2.
        seed: of the draws of the prior.

    Returns:
        `Manifold`; `pv.plot` draws it.

    Raises:
        ValueError: one latent dimension, other than two dimensions, fewer than 2 steps; a flat
            prior, which has no quantiles.

    Example:
        >>> manifold(VAE(data_shape=(4,), latent_dim=2), steps=3).mean.shape
        (3, 3, 4)
    """
    as_int(steps, "steps", at_least=2)
    numbers = _checked(dimensions, vae.spec.latent_dim)
    if numbers is None or len(numbers) != 2 or numbers[0] == numbers[1]:
        raise ValueError(
            f"dimensions: expected two of the {vae.spec.latent_dim} of z, got {dimensions}; fit a "
            "model with latent_dim of 2 or more, or use traverse"
        )
    if not has_samples(vae):
        raise ValueError(
            "manifold: expected a prior with quantiles, got 'flat'; use traverse(vae, x), whose "
            "values are those of the rows"
        )
    with evaluation(vae), own_seed(seed, placement_of(vae).device):
        drawn = as_numpy(vae.prior().sample(torch.Size([PRIOR_DRAWS])))
    codes = drawn.astype(np.float64)
    first, second = (_between(codes[:, d], steps) for d in numbers)
    z = np.tile(codes.mean(0), (steps, steps, 1))
    z[:, :, numbers[0]] = first[None, :]
    z[:, :, numbers[1]] = second[:, None]
    names = None if vae.spec.table is None else vae.spec.table.names
    pair = (int(numbers[0]), int(numbers[1]))
    return Manifold(pair, first, second, _decoded(vae, z), names)


def _checked(
    dimensions: Sequence[int] | int | None, latent_dim: int
) -> np.ndarray | None:
    if dimensions is None:
        return None
    given = [dimensions] if isinstance(dimensions, int) else list(dimensions)
    numbers = [as_int(d, "dimensions", at_least=0) for d in given]
    if not numbers or max(numbers) >= latent_dim:
        raise ValueError(
            f"dimensions: expected some from 0 to {latent_dim - 1}, got {given}; the latent_dim of "
            f"the model is {latent_dim}"
        )
    return np.array(numbers)


def _between(values: np.ndarray, steps: int) -> np.ndarray:
    """Evenly spaced values between two quantiles."""
    low, high = (float(np.quantile(values, end)) for end in ENDS)
    return np.linspace(low, high, steps)


def _names(x: Any, vae: VAE) -> tuple[Any, ...] | None:
    """The names of the columns, where there is one for each number of a row."""
    names = column_labels(x, vae.spec.table)
    size = int(np.prod(vae.spec.data_shape))
    return names if names is not None and len(names) == size else None


def _decoded(vae: VAE, z: np.ndarray) -> np.ndarray:
    """E[x | z] of codes (..., latent_dim), (..., *data_shape); nan where a column has no mean."""
    placement = placement_of(vae)
    flat = z.reshape(-1, z.shape[-1])
    with evaluation(vae):
        given = torch.tensor(flat, dtype=placement.dtype, device=placement.device)
        p = vae.likelihood(given)
        mean = as_numpy(representative(p)).astype(np.float64)
        categories = list(probabilities_of(p))
    columns = mean.reshape(len(flat), -1)
    columns[:, categories] = np.nan
    if vae.spec.table is not None:
        columns += vae.spec.table.offsets
    return mean.reshape(*z.shape[:-1], *mean.shape[1:])
