"""A small model of bits with random weights, whose log p(x) is known by quadrature."""

import math

import numpy as np
import pyro.distributions as dist
import torch
from torch import Tensor

from pyro_vae.vae import VAE


def all_bits(features: int) -> Tensor:
    return torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * features).double()


def bernoulli_vae(latent_dim: int, features: int = 7) -> VAE:
    """Random weights; the guide is wider than the prior, so that no posterior has heavier tails."""
    guide = dist.Normal(torch.zeros(latent_dim), 1.3).to_event(1)
    vae = VAE(
        data_shape=(features,),
        latent_dim=latent_dim,
        likelihood="bernoulli",
        guide=guide,
        hidden_dims=(8,),
    )
    generator = torch.Generator().manual_seed(3)
    for parameter in vae.parameters():
        parameter.data.copy_(1.5 * torch.randn(parameter.shape, generator=generator))
    return vae.double()


def by_quadrature(
    vae: VAE, x: Tensor, latent_dim: int, points: int = 301
) -> np.ndarray:
    """log ∫ p(x | z) p(z) dz by the trapezoidal rule on [-8, 8]; the tails outside hold 1e-15."""
    axis = torch.linspace(-8, 8, points, dtype=torch.float64)
    z = torch.cartesian_prod(*[axis] * latent_dim).reshape(-1, latent_dim)
    with torch.no_grad():
        logits = vae.likelihood(z).base_dist.logits
    log_joint = (
        x @ logits.T
        - torch.nn.functional.softplus(logits).sum(1)
        + vae.prior().log_prob(z)
    )
    return (log_joint.logsumexp(1) + latent_dim * math.log(16 / (points - 1))).numpy()
