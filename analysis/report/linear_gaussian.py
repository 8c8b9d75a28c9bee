"""Probabilistic PCA: the latent variable model whose answers are all known in closed form.

z ~ N(0, I), x | z ~ N(W z + μ, σ² I), so x ~ N(μ, W Wᵀ + σ² I) and z | x ~ N(M⁻¹ Wᵀ (x - μ), σ²
M⁻¹), M = Wᵀ W + σ² I. (Tipping, Bishop, 1999, Probabilistic Principal Component Analysis.)
"""

from dataclasses import dataclass

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, MultivariateNormal

from pyro_vae.vae import VAE


@dataclass(frozen=True)
class LinearGaussian:
    """The model and its exact answers, in float64.

    Attributes:
        weight: W, (data_dim, latent_dim).
        bias: μ, (data_dim,).
        sigma: σ.
    """

    weight: Tensor
    bias: Tensor
    sigma: float

    @classmethod
    def random(
        cls, data_dim: int = 5, latent_dim: int = 2, sigma: float = 0.5, seed: int = 0
    ) -> "LinearGaussian":
        """A model with W and μ drawn from a standard normal."""
        generator = torch.Generator().manual_seed(seed)
        draw = torch.randn(
            data_dim, latent_dim + 1, generator=generator, dtype=torch.float64
        )
        return cls(draw[:, :-1], draw[:, -1], sigma)

    def marginal(self) -> MultivariateNormal:
        """p(x)."""
        noise = self.sigma**2 * torch.eye(len(self.bias), dtype=torch.float64)
        return MultivariateNormal(self.bias, self.weight @ self.weight.T + noise)

    def posterior(self, x: Tensor, widen: float = 1.0) -> MultivariateNormal:
        """p(z | x), its standard deviations multiplied by `widen`."""
        identity = torch.eye(self.weight.shape[1], dtype=torch.float64)
        m = self.weight.T @ self.weight + self.sigma**2 * identity
        covariance = widen**2 * self.sigma**2 * torch.linalg.inv(m)
        loc = (x - self.bias) @ self.weight @ torch.linalg.inv(m)
        return dist.MultivariateNormal(loc, covariance)

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """n rows from p(x)."""
        generator = torch.Generator().manual_seed(seed)
        z = torch.randn(
            n, self.weight.shape[1], generator=generator, dtype=torch.float64
        )
        noise = torch.randn(n, len(self.bias), generator=generator, dtype=torch.float64)
        return z @ self.weight.T + self.bias + self.sigma * noise

    def vae(self, guide: nn.Module | str | None = None, widen: float = 1.0) -> VAE:
        """The model as a VAE in float64, whose guide is the exact posterior or a widened one.

        Arguments:
            guide: another guide, as `VAE` takes it.
            widen: factor of the exact posterior's standard deviations.
        """
        data_dim, latent_dim = self.weight.shape
        decoder = nn.Linear(latent_dim, data_dim).double()
        decoder.weight.data.copy_(self.weight)
        decoder.bias.data.copy_(self.bias)
        return VAE(
            data_shape=(data_dim,),
            latent_dim=latent_dim,
            likelihood={"kind": "normal", "scale": self.sigma},
            guide=guide or ExactPosterior(self, widen),
            decoder=decoder,
        ).double()


class ExactPosterior(nn.Module):
    """q(z | x) = p(z | x), widened or narrowed by a factor."""

    def __init__(self, truth: LinearGaussian, widen: float = 1.0) -> None:
        super().__init__()
        self.truth = truth
        self.widen = widen

    def forward(self, x: Tensor) -> Distribution:
        return self.truth.posterior(x.double(), self.widen)
