"""Codes, reconstructions and samples; and how much of the latent space is used."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pyro_vae.analysis.fitted import as_numpy, evaluation, has_samples, posterior_of
from pyro_vae.arguments import public
from pyro_vae.inputs import placement_of, rows_of
from pyro_vae.likelihoods.base import given, representative
from pyro_vae.objectives import analytic_kl
from pyro_vae.rng import own_seed
from pyro_vae.vae import VAE


@dataclass(frozen=True)
class Codes:
    """q(z | x) of each row.

    Attributes:
        loc: mean, (n, latent_dim).
        scale: standard deviation, (n, latent_dim); zero for an autoencoder.
    """

    loc: np.ndarray
    scale: np.ndarray

    def active_units(self, threshold: float = 0.01) -> int:
        """The number of latent dimensions whose mean varies over the rows: Var_x E_q[z] >
        threshold.

        References:
            Importance Weighted Autoencoders (Burda, Grosse, Salakhutdinov, 2016).
        """
        return int((self.loc.var(0) > threshold).sum())


@public
def encode(vae: VAE, x: Any) -> Codes:
    """The mean and standard deviation of q(z | x) for each row.

    Arguments:
        vae: the model.
        x: rows shaped (n, *data_shape).

    Raises:
        ValueError: rows that don't fit the model.

    Example:
        >>> encode(VAE(data_shape=(4,), latent_dim=2), torch.zeros(3, 4)).loc.shape
        (3, 2)
    """
    with evaluation(vae):
        found = [
            (q.mean, q.stddev) for q in (posterior_of(vae, batch) for batch in rows_of(vae, x, "x"))
        ]
        loc, scale = (as_numpy(torch.cat(part)) for part in zip(*found, strict=True))
    return Codes(loc, scale)


@public
def reconstruct(vae: VAE, x: Any) -> np.ndarray:
    """E[x' | z] at z = E[z | x], the mean of q: each row as the model sees it, shaped as x.

    Rows with a size factor or a total keep their own. Of categories it is the most probable one,
    not a mean of numbers.

    Arguments:
        vae: the model.
        x: rows shaped (n, *data_shape).

    Raises:
        ValueError: rows that don't fit the model.

    Example:
        >>> reconstruct(VAE(data_shape=(4,), latent_dim=2), torch.zeros(3, 4)).shape
        (3, 4)
    """
    with evaluation(vae):
        pairs = (
            (batch, vae.likelihood(posterior_of(vae, batch).mean)) for batch in rows_of(vae, x, "x")
        )
        return as_numpy(torch.cat([representative(given(p, batch)) for batch, p in pairs]))


@public
def class_probabilities(vae: VAE, x: Any) -> dict[int, np.ndarray]:
    """p(x'ᵢ = k | z) at z = E[z | x] for each categorical column i: column -> (n, K); empty where
    there is none.

    Arguments:
        vae: the model.
        x: rows shaped (n, *data_shape); columns are numbered as in the flattened row.

    Raises:
        ValueError: rows that don't fit the model.

    Example:
        >>> vae = VAE(data_shape=(2,), latent_dim=1, likelihood={"kind": "categorical", "num_classes": 3})
        >>> class_probabilities(vae, torch.zeros(5, 2))[1].shape
        (5, 3)
    """
    with evaluation(vae):
        found = []
        for batch in rows_of(vae, x, "x"):
            p: Any = vae.likelihood(posterior_of(vae, batch).mean)
            found.append(p.probabilities() if hasattr(p, "probabilities") else {})
    return {column: as_numpy(torch.cat([each[column] for each in found])) for column in found[0]}


@dataclass(frozen=True)
class Samples:
    """Draws from the model.

    Attributes:
        z: latent draws from the prior, (n, latent_dim).
        x: rows drawn from p(x | z), (n, *data_shape).
        mean: E[x | z], (n, *data_shape).
    """

    z: np.ndarray
    x: np.ndarray
    mean: np.ndarray


@public
def sample(vae: VAE, n: int, *, seed: int = 0) -> Samples:
    """Draw n rows from the model: z ~ p(z), then x ~ p(x | z).

    Arguments:
        vae: the model.
        n: rows, at least 1.
        seed: of the draws.

    Raises:
        ValueError: n below 1; a flat prior, from which nothing can be drawn.

    Example:
        >>> sample(VAE(data_shape=(4,), latent_dim=2), 5).x.shape
        (5, 4)
    """
    if n < 1:
        raise ValueError(f"n: expected at least 1 row, got {n}")
    if not has_samples(vae):
        raise ValueError(
            "sample: prior 'flat' has no density, so nothing can be drawn from it; an autoencoder "
            "compresses and does not generate. Take prior 'standard_normal' and guide 'mean_field'"
        )
    with evaluation(vae), own_seed(seed, placement_of(vae).device):
        z = vae.prior().sample(torch.Size([n]))
        p = vae.likelihood(z)
        z, x, mean = (as_numpy(part) for part in (z, p.sample(), p.mean))
    return Samples(z, x, mean)


@public
def rate(vae: VAE, x: Any, *, num_particles: int = 16, seed: int = 0) -> np.ndarray:
    """KL(q(z | x) ‖ p(z)) of each row in nats: the closed form where there is one, else a mean over
    draws.

    Arguments:
        vae: the model.
        x: rows shaped (n, *data_shape).
        num_particles: draws for each row, where there is no closed form.
        seed: of the draws.

    Raises:
        ValueError: no draws, rows that don't fit the model.

    Example:
        >>> rate(VAE(data_shape=(4,), latent_dim=2), torch.zeros(3, 4)).shape
        (3,)
    """
    if num_particles < 1:
        raise ValueError(f"num_particles: expected at least 1, got {num_particles}")
    with evaluation(vae), own_seed(seed, placement_of(vae).device):
        rates = []
        for batch in rows_of(vae, x, "x"):
            q, p = posterior_of(vae, batch), vae.prior()
            closed_form = analytic_kl(q, p.expand(q.batch_shape))
            z = q.sample(torch.Size([num_particles]))
            rates.append(
                (q.log_prob(z) - p.log_prob(z)).mean(0) if closed_form is None else closed_form
            )
        return as_numpy(torch.cat(rates))
