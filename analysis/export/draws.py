"""Draws from a fitted model, for ArviZ."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.analysis.export.arviz_objects import as_integers, to_datatree
from pyro_vae.analysis.fitted import as_numpy, evaluation, has_density, posterior_of
from pyro_vae.analysis.marginal_likelihood.measure import measure_of
from pyro_vae.arguments import public
from pyro_vae.inputs import model_rows, placement_of, rows_of
from pyro_vae.likelihoods.base import given
from pyro_vae.rng import own_seed
from pyro_vae.vae import VAE
from pyro_vae.version import __version__

Groups = dict[str, dict[str, np.ndarray]]
GIBIBYTE = 2**30


@public
def to_arviz(
    vae: VAE,
    x: Any,
    *,
    num_samples: int = 1000,
    seed: int = 0,
    columns: Sequence[str] | None = None,
    max_bytes: int = GIBIBYTE,
) -> Any:
    """Posterior, prior and predictive draws for some rows, as what the installed ArviZ takes.

    Groups: posterior z ~ q(z | x), posterior_predictive x ~ p(x | z), prior z ~ p(z),
    prior_predictive x ~ p(x | z), observed_data, and sample_stats with log_p = log p(x, z), log_q =
    log q(z | x) and log_weight = log_p - log_q of each draw and row in nats. The draws are
    independent: R-hat and ESS say nothing about them. The mean weight of a row is its p(x):
    `evidence` computes that with any number of draws.

    Bits, counts and categories are integers, which ArviZ draws as steps. Where a row has other
    numbers beside them, such as a size factor, all of it is floating point.

    References:
        ArviZ a unified library for exploratory analysis of Bayesian models in Python (Kumar,
        Carroll, Hartikainen, Martin, 2019).

    Arguments:
        vae: the model. An autoencoder has posterior and posterior_predictive only.
        x: rows shaped (n, *data_shape).
        num_samples: draws for each row.
        seed: of the draws.
        columns: names of the features of one-dimensional data.
        max_bytes: the most memory that the draws may take.

    Returns:
        `arviz.InferenceData` with ArviZ 0.x, `xarray.DataTree` with 1.x; dims chain, draw,
        observation, latent.

    Raises:
        ValueError: no rows or draws, more memory than allowed, rows that don't fit the model.

    Example:
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> tree = to_arviz(vae, torch.zeros(3, 4), num_samples=10)
        >>> dict(tree["posterior"].sizes)
        {'chain': 1, 'draw': 10, 'observation': 3, 'latent': 2}
    """
    if num_samples < 1:
        raise ValueError(f"num_samples: expected at least 1, got {num_samples}")
    _require_room(vae, len(model_rows(vae, x)), num_samples, max_bytes)
    with evaluation(vae):
        rows = torch.cat(list(rows_of(vae, x, "x")))
        with own_seed(seed, rows.device):
            groups = _posterior(vae, rows, num_samples)
            if has_density(vae):
                groups |= _prior(vae, len(rows), num_samples)
    attrs: dict[str, str | int | float] = {
        "inference_library": "pyro_vae",
        "inference_library_version": __version__,
        "spec": vae.spec.model_dump_json(),
    }
    return to_datatree(groups, attrs=attrs, columns=columns)


def _posterior(vae: VAE, x: Tensor, num_samples: int) -> Groups:
    q = posterior_of(vae, x)
    z = q.sample(torch.Size([num_samples]))
    p = vae.likelihood(z)
    groups: Groups = {
        "posterior": {"z": as_numpy(z)},
        "posterior_predictive": {"x": _data(vae, given(p, x).sample())},
        "observed_data": {"x": _data(vae, x)},
    }
    if has_density(vae):
        log_p = vae.prior().log_prob(z) + p.log_prob(x)
        log_q = q.log_prob(z)
        groups["sample_stats"] = {
            "log_p": as_numpy(log_p),
            "log_q": as_numpy(log_q),
            "log_weight": as_numpy(log_p.double() - log_q.double()),
        }
    return groups


def _prior(vae: VAE, rows: int, num_samples: int) -> Groups:
    z = vae.prior().sample(torch.Size([num_samples, rows]))
    return {
        "prior": {"z": as_numpy(z)},
        "prior_predictive": {"x": _data(vae, vae.likelihood(z).sample())},
    }


def _data(vae: VAE, x: Tensor) -> np.ndarray:
    """Rows as an array, of integers where all numbers of a row are whole in the model."""
    measure = measure_of(vae)
    numbers = math.prod(vae.spec.data_shape)
    array = as_numpy(x)
    if measure is None or measure.kind != "mass" or measure.size != numbers:
        return array
    return as_integers(array)


def _require_room(vae: VAE, rows: int, num_samples: int, max_bytes: int) -> None:
    size = placement_of(vae).dtype.itemsize
    numbers = vae.spec.latent_dim + math.prod(vae.spec.data_shape)
    needed = (
        2 * size * rows * num_samples * numbers
    )  # draws of the posterior and of the prior
    if needed > max_bytes:
        raise ValueError(
            f"to_arviz: {num_samples} draws for {rows} rows would take {needed / GIBIBYTE:.1f} "
            f"GiB, and max_bytes is {max_bytes / GIBIBYTE:.1f} GiB; pass fewer rows (x[:50]), a "
            "smaller num_samples, or a larger max_bytes"
        )
