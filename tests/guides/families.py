"""What the tests of guides share: families by name, small models, and models with known answers."""

from functools import cache
from typing import Any

import pyro
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, MultivariateNormal

from pyro_vae import ELBO, VAE
from pyro_vae.analysis.report.linear_gaussian import LinearGaussian

CASES: dict[str, dict[str, Any]] = {
    "mean_field": {"kind": "mean_field"},
    "full_rank": {"kind": "full_rank"},
    "low_rank": {"kind": "low_rank", "rank": 1},
    "autoregressive": {
        "kind": "flow",
        "transform": "autoregressive",
        "hidden_dims": (16,),
    },
    "coupling": {"kind": "flow", "transform": "coupling", "hidden_dims": (16,)},
    "spline": {"kind": "flow", "transform": "spline", "hidden_dims": (16,)},
    "top_down": {"kind": "hierarchical", "top_dim": 1, "hidden_dim": 16},
    "bottom_up": {
        "kind": "hierarchical",
        "top_dim": 1,
        "direction": "bottom_up",
        "hidden_dim": 16,
    },
    "semi_amortized": {"kind": "semi_amortized", "steps": 2},
    "semi_full_rank": {
        "kind": "semi_amortized",
        "base": {"kind": "full_rank"},
        "steps": 2,
        "unroll": True,
    },
    "semi_low_rank": {
        "kind": "semi_amortized",
        "base": {"kind": "low_rank", "rank": 1},
        "steps": 2,
    },
}
PUSHFORWARDS = "autoregressive", "coupling", "spline", "top_down", "bottom_up"
TWO_LEVELS = "top_down", "bottom_up"
X = torch.randn(6, 4, generator=torch.Generator().manual_seed(1)) * torch.tensor(
    [1.0, 2.0, 0.5, 1.0]
)

TRUTH = LinearGaussian(
    torch.tensor(
        [[1.0, 0.8], [0.6, 0.9], [0.5, 0.1], [-0.3, -0.6]], dtype=torch.float64
    ),
    torch.tensor([0.5, -1.0, 0.0, 2.0], dtype=torch.float64),
    sigma=0.7,
)
"""Its posterior is correlated, so that a guide with independent dimensions misses it."""

MILD = LinearGaussian(
    torch.tensor(
        [[1.0, 0.3], [0.3, 0.9], [0.6, -0.2], [-0.3, 0.5]], dtype=torch.float64
    ),
    TRUTH.bias,
    sigma=0.7,
)
"""Its posterior is hardly correlated, so that the weights of such a guide have a variance."""


def small(name: str, latent_dim: int = 2, spread: float = 0.3, **fields: Any) -> VAE:
    """A model with that guide, whose weights are far from their small initial values."""
    options = {
        "hidden_dims": (8,),
        "likelihood": {"kind": "normal", "scale": "learned"},
        **fields,
    }
    vae = VAE(
        data_shape=(4,), latent_dim=latent_dim, guide=CASES[name], **options
    ).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in vae.parameters():
            weight += spread * torch.randn(weight.shape, generator=generator)
    return vae


def normal_of(q: Distribution) -> MultivariateNormal:
    """A normal of any type as torch's multivariate normal."""
    covariance = getattr(q, "covariance_matrix", None)
    return MultivariateNormal(
        q.mean, torch.diag_embed(q.variance) if covariance is None else covariance
    )


def untrained(name: str, truth: LinearGaussian = TRUTH) -> VAE:
    """The true model, with that guide on a linear encoder; in float64."""
    data_dim, latent_dim = truth.weight.shape
    decoder = nn.Linear(latent_dim, data_dim).double()
    decoder.weight.data.copy_(truth.weight)
    decoder.bias.data.copy_(truth.bias)
    return VAE(
        data_shape=(data_dim,),
        latent_dim=latent_dim,
        likelihood={"kind": "normal", "scale": truth.sigma},
        guide=CASES[name],
        decoder=decoder,
        hidden_dims=(),
    ).double()


@cache
def trained(name: str, mild: bool = False, steps: int = 400) -> VAE:
    """The same after a short training of the guide by a gradient without noise at the optimum."""
    truth = MILD if mild else TRUTH
    vae = untrained(name, truth)
    parameters = [*vae.guide.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    with torch.random.fork_rng(), pyro.validation_enabled(False):
        torch.manual_seed(0)
        for step in range(steps):
            loss = ELBO()(vae.model, vae.guide, truth.sample(128, seed=step))
            optimizer.zero_grad()
            (-loss.elbo.mean()).backward(inputs=parameters)
            optimizer.step()
            schedule.step()
    return vae.eval()


def gap(vae: VAE, x: Tensor, draws: int = 200) -> Tensor:
    """KL(q(z | x) ‖ p(z | x)) = E_q [log q(z | x) - log p(z | x)] of each row, from draws."""
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        q = vae.posterior(x)
        z = q.sample((draws,))
        return (q.log_prob(z) - TRUTH.posterior(x).log_prob(z)).mean(0)
