"""A model whose posterior has two modes, and whose log p(x) is a finite sum: a mixture prior and a
linear decoder.
"""

import numpy as np
import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from pyro_vae import VAE
from pyro_vae.priors.mixture import Marginal

MEANS = torch.tensor([[-3.0, 0.0], [3.0, 0.0], [0.0, 4.0]], dtype=torch.float64)
SPREAD = 0.5
NOISE = 0.7
LOG_SHARES = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log()
WEIGHT = torch.tensor([[0.05, 1.0], [0.1, 0.8], [0.0, 0.0]], dtype=torch.float64)
"""The first latent variable hardly shows in the data.

The last column shows none: it only makes rows different.
"""


def bimodal_vae() -> VAE:
    """Its guide is one normal, which covers one mode."""
    decoder = nn.Linear(2, 3, bias=False).double()
    decoder.weight.data.copy_(WEIGHT)
    guide = dist.Normal(torch.tensor([-3.0, 0.0]).double(), 0.6).to_event(1)
    prior = Marginal(LOG_SHARES, dist.Normal(MEANS, SPREAD).to_event(1))
    return VAE(
        data_shape=(3,),
        latent_dim=2,
        prior=prior,
        likelihood={"kind": "normal", "scale": NOISE},
        guide=guide,
        decoder=decoder,
    ).double()


def ambiguous(count: int) -> Tensor:
    """Rows of the model's own."""
    torch.manual_seed(0)
    with torch.no_grad():
        vae = bimodal_vae()
        rows: Tensor = vae.likelihood(vae.prior().sample((count,))).sample()
    return rows


def replicates(count: int) -> Tensor:
    """One row again and again: only the last column differs, which the latent variables don't show
    in.
    """
    rows = torch.tensor([0.05, 0.1, 0.0], dtype=torch.float64).repeat(count, 1)
    rows[:, 2] = torch.linspace(-1, 1, count, dtype=torch.float64)
    return rows


def exact(x: Tensor) -> np.ndarray:
    """log p(x) = log Σₖ πₖ N(x | W mₖ, W Sₖ Wᵀ + σ² I)."""
    spread = SPREAD**2 * WEIGHT @ WEIGHT.T + NOISE**2 * torch.eye(
        3, dtype=torch.float64
    )
    each = [MultivariateNormal(WEIGHT @ mean, spread).log_prob(x) for mean in MEANS]
    return (torch.stack(each, -1) + LOG_SHARES).logsumexp(-1).numpy()
