"""What z means: E[x | z] along single dimensions, and on a grid of two."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.analysis.contexts.naming import in_words
from pyro_vae.analysis.fitted import (
    as_numpy,
    evaluation,
    has_samples,
    posterior_of,
)
from pyro_vae.analysis.imputation.cells import probabilities_of
from pyro_vae.analysis.latent.decoded_results import Manifold, Traversal
from pyro_vae.analysis.latent.one_context import (
    from_standardised,
    one_context,
    rows_and_contexts,
)
from pyro_vae.analysis.results.tables import column_labels
from pyro_vae.arguments import as_int, public
from pyro_vae.given import of_rows
from pyro_vae.inputs import own_part, placement_of, rows_of
from pyro_vae.likelihoods.base import representative
from pyro_vae.rng import own_seed
from pyro_vae.vae import VAE

__all__ = ["manifold", "traverse"]

ENDS = (0.02, 0.98)
"""The quantiles between which a dimension is varied."""
DRAWS = 10
"""Draws of q(z | x) for each row."""
PRIOR_DRAWS = 5000
MOST = 5
"""Dimensions that are varied by default."""


@public
def traverse(
    vae: VAE,
    x: Any,
    *,
    context: Any = None,
    dimensions: Sequence[int] | int | None = None,
    steps: int = 9,
    seed: int = 0,
) -> Traversal:
    """What each dimension of z does to a row: E[x | z] along it, the others at their mean.

    A dimension runs from the 2 % to the 98 % quantile of the aggregate posterior q(z), so that no z
    is decoded that the rows don't come near to. With a context all z are decoded in one, c: where
    the prior takes it, q(z) is that of z = μ(c) + σ(c) u, with u = (z' - μ(c')) / σ(c') of the rows
    and their own contexts c'.

    References:
        beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework (Higgins
        et al., 2017), for the pictures.

    Arguments:
        vae: a fitted model.
        x: rows shaped (n, *data_shape), for q(z); of a model with a context a table with its
            columns, or a pair of rows and contexts.
        context: of a model that has one, in which z is decoded: one vector (C,), a dict by name,
            {"batch": "a", "age": 40}, or a DataFrame of one row. A new level of a random effect is
            at the mean of its prior, 0.
        dimensions: which are varied; None takes up to 5, those whose mean varies most.
        steps: values of each, at least 2.
        seed: of the draws of q(z).

    Returns:
        `Traversal`; `pv.plot` draws it.

    Raises:
        ValueError: rows that don't fit the model, dimensions that it hasn't, fewer than 2 steps;
            no context or several for a model that has one, or a label of it that isn't known.

    Example:
        >>> found = traverse(VAE(data_shape=(4,), latent_dim=2), torch.zeros(3, 4), steps=5)
        >>> found.z.shape, found.mean.shape
        ((2, 5), (2, 5, 4))
    """
    as_int(steps, "steps", at_least=2)
    numbers = _checked(dimensions, vae.spec.latent_dim)
    at = one_context(vae, context)
    whole = rows_and_contexts(vae, x)
    means: list[Tensor] = []
    draws: list[Tensor] = []
    rows: list[Tensor] = []
    with evaluation(vae), own_seed(seed, placement_of(vae).device):
        for batch in rows_of(vae, whole, "x"):
            q = posterior_of(of_rows(vae), batch)
            drawn = q.sample(torch.Size([DRAWS])).flatten(0, 1)
            means.append(from_standardised(vae, q.mean, at))
            draws.append(from_standardised(vae, drawn, at))
            rows.append(own_part(vae, batch))
    variance = as_numpy(torch.cat(means)).var(0)
    codes = as_numpy(torch.cat(draws)).astype(np.float64)
    if numbers is None:
        numbers = np.argsort(-variance, kind="stable")[:MOST]
    z = np.tile(codes.mean(0), (len(numbers), steps, 1))
    for i, d in enumerate(numbers):
        z[i, :, d] = _between(codes[:, d], steps)
    values = np.take_along_axis(z, numbers[:, None, None], 2)[..., 0]
    scale = np.nanstd(as_numpy(torch.cat(rows)).astype(np.float64), axis=0)
    names = _names(x[0] if isinstance(x, tuple) else x, vae)
    mean = decoded(vae, z, at)
    return Traversal(numbers, values, mean, scale, names, _shown(vae, at))


@public
def manifold(
    vae: VAE,
    *,
    context: Any = None,
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
        context: of a model that has one, in which z is decoded; see `traverse`.
        dimensions: the two; the others are at the mean of the prior.
        steps: of each of the two, at least 2.
        seed: of the draws of the prior.

    Returns:
        `Manifold`; `pv.plot` draws it.

    Raises:
        ValueError: one latent dimension, other than two dimensions, fewer than 2 steps; a flat
            prior, which has no quantiles; a context as in `traverse`.

    Example:
        >>> manifold(VAE(data_shape=(4,), latent_dim=2), steps=3).mean.shape
        (3, 3, 4)
    """
    as_int(steps, "steps", at_least=2)
    latent_dim = vae.spec.latent_dim
    if latent_dim < 2:
        raise ValueError(
            "manifold: expected a model with 2 latent dimensions or more, got 1; take "
            "traverse(vae, x), or fit another with latent_dim=2"
        )
    numbers = _checked(dimensions, latent_dim)
    if numbers is None or len(numbers) != 2 or numbers[0] == numbers[1]:
        raise ValueError(
            f"dimensions: expected two of the {latent_dim} of z, got {dimensions}; pass two that "
            "differ, such as (0, 1)"
        )
    if not has_samples(vae):
        raise ValueError(
            "manifold: expected a prior with quantiles, got 'flat'; use traverse(vae, x), whose "
            "values are those of the rows"
        )
    at = one_context(vae, context)
    with evaluation(vae), own_seed(seed, placement_of(vae).device):
        drawn = as_numpy(vae.model.p_z(at).sample(torch.Size([PRIOR_DRAWS])))
    codes = drawn.reshape(PRIOR_DRAWS, latent_dim).astype(np.float64)
    first, second = (_between(codes[:, d], steps) for d in numbers)
    z = np.tile(codes.mean(0), (steps, steps, 1))
    z[:, :, numbers[0]] = first[None, :]
    z[:, :, numbers[1]] = second[:, None]
    names = None if vae.spec.table is None else vae.spec.table.names
    pair = (int(numbers[0]), int(numbers[1]))
    mean = decoded(vae, z, at)
    return Manifold(pair, first, second, mean, names, _shown(vae, at))


def _checked(
    dimensions: Sequence[int] | int | None, latent_dim: int
) -> np.ndarray | None:
    if dimensions is None:
        return None
    given: list[Any] = np.ravel(np.asarray(dimensions, dtype=object)).tolist()
    numbers = [as_int(d, "dimensions", at_least=0) for d in given]
    if not numbers or max(numbers) >= latent_dim:
        raise ValueError(
            f"dimensions: expected some from 0 to {latent_dim - 1}, got {given}; the latent_dim of "
            f"the model is {latent_dim}"
        )
    return np.array(numbers)


def _shown(vae: VAE, context: Tensor | None) -> str:
    """The context of all codes in words; empty for none."""
    if vae.spec.context is None or context is None:
        return ""
    return in_words(vae.spec.context, as_numpy(context[0]))


def _between(values: np.ndarray, steps: int) -> np.ndarray:
    """Evenly spaced values between two quantiles."""
    low, high = (float(np.quantile(values, end)) for end in ENDS)
    return np.linspace(low, high, steps)


def _names(x: Any, vae: VAE) -> tuple[Any, ...] | None:
    """The names of the columns, where there is one for each number of a row."""
    names = column_labels(x, vae.spec.table)
    size = int(np.prod(vae.spec.data_shape))
    return names if names is not None and len(names) == size else None


def decoded(vae: VAE, z: np.ndarray, context: Tensor | None = None) -> np.ndarray:
    """E[x | z] of codes (..., latent_dim), (..., *data_shape); nan where a column has no mean.

    Arguments:
        vae: the model.
        z: codes.
        context: of a model that has one, that of all codes, (1, C).
    """
    placement = placement_of(vae)
    flat = z.reshape(-1, z.shape[-1])
    with evaluation(vae):
        given = torch.tensor(flat, dtype=placement.dtype, device=placement.device)
        c = None if context is None else context.expand(len(flat), -1)
        p = vae.model.p_x(given, c)
        mean = as_numpy(representative(p)).astype(np.float64)
        categories = list(probabilities_of(p))
    columns = mean.reshape(len(flat), -1)
    columns[:, categories] = np.nan
    if vae.spec.table is not None:
        columns += vae.spec.table.offsets
    return mean.reshape(*z.shape[:-1], *mean.shape[1:])
