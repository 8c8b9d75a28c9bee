"""The encoder proposes, and a few gradient steps on each row's ELBO refine what it proposed."""

from typing import Annotated, Any, cast

import pyro
import pyro.distributions as dist
import torch
from pydantic import Field, PositiveFloat, PositiveInt, TypeAdapter
from torch import Tensor, nn
from torch.distributions import (
    Distribution,
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
)

from pyro_vae.guides.base import GUIDES
from pyro_vae.guides.pushforward import noise_points
from pyro_vae.networks import exported, traced
from pyro_vae.registry import Choice, Options

Base = Annotated[Options, Choice(GUIDES)]
MEAN_FIELD = cast(Options, "mean_field")
Even = Annotated[int, Field(ge=2, multiple_of=2)]


@GUIDES.register("semi_amortized")
class SemiAmortized(nn.Module):
    """q(z | x) = N(μ + δ, diag(e^s) Σ diag(e^s)): N(μ(x), Σ(x)) is proposed, then (δ, s) ascend the
    ELBO of the row.

    δ ← δ + lr σ² (1/K) Σₖ ∂log w/∂zₖ   and   s ← s + lr/2 (1/K) Σₖ (zₖ - μ - δ) ∂log w/∂zₖ   for w
    = p(x, z) / q(z | x)

    These are natural gradients, with zₖ from the q of now and σ² its variances; a step that would
    change q by more than about half a nat is shortened. The exact posterior stays where it is, for
    any K: all ∂log w/∂z are zero. The noise of the zₖ is fixed, so q is a function of the row
    alone. Refining takes `steps` gradients of the model with K draws.

    The encoder's gradient goes through μ and Σ as if (δ, s) were constants; with unroll=True it
    goes through the steps too, as in the reference. A prior that is itself made of q(z | x) counts
    with the proposed q while refining.

    References:
        Semi-Amortized Variational Autoencoders (Kim, Wiseman, Miller, Sontag, Rush, 2018).
        Sticking the Landing: Simple, Lower-Variance Gradient Estimators (Roeder, Wu, Duvenaud,
        2017), for the gradient.

    Arguments:
        features: width of the encoder's output.
        latent_dim: length of z.
        base: the guide that proposes, whose distribution is normal: "mean_field", "full_rank" or
            "low_rank".
        steps: gradient steps.
        lr: their length; 1 is Newton's step for an independent normal posterior.
        num_particles: K, even: the draws are antithetic pairs.
        unroll: whether the encoder's gradient goes through the steps.

    Raises:
        ValueError: a base whose distribution is not normal; called without a model (`VAE` tells it
            by `bind_parts`).

    Example:
        >>> from pyro_vae import VAE
        >>> vae = VAE(data_shape=(4,), latent_dim=2, guide={"kind": "semi_amortized", "base": "full_rank"})
        >>> vae.posterior(torch.zeros(3, 4)).covariance_matrix.shape
        torch.Size([3, 2, 2])
    """

    points: Tensor

    def __init__(
        self,
        features: int,
        latent_dim: int,
        *,
        base: Base = MEAN_FIELD,
        steps: PositiveInt = 5,
        lr: PositiveFloat = 0.1,
        num_particles: Even = 8,
        unroll: bool = False,
    ) -> None:
        super().__init__()
        chosen: Options = TypeAdapter(Base).validate_python(base)
        if chosen.kind in {"semi_amortized", "custom"}:
            raise ValueError(
                "semi_amortized: expected base 'mean_field', 'full_rank' or 'low_rank', got "
                f"{chosen.kind!r}"
            )
        self.base: nn.Module = GUIDES.build(chosen, features, latent_dim)
        self.steps, self.lr, self.unroll = steps, lr, unroll
        self.register_buffer(
            "points",
            torch.stack([noise_points(num_particles, latent_dim, seed) for seed in range(steps)]),
            persistent=False,
        )
        self._model: tuple[
            nn.Module, ...
        ] = ()  # a tuple, since modules would be registered here a second time
        self._refining = False

    def bind_parts(self, parts: Any) -> None:
        """Take the prior and the likelihood that the ELBO needs."""
        self._model = (parts.prior, parts.likelihood)

    def forward(self, features: Tensor) -> Distribution:
        """The distribution that is proposed."""
        q: Distribution = self.base(features)
        return q

    def refine(self, q: Distribution, x: Tensor) -> Distribution:
        """The distribution after the steps."""
        if not self._model:
            raise ValueError(
                "semi_amortized: expected a model to refine for, got none; call "
                "bind_parts(vae.parts)"
            )
        if self._refining:
            return q
        if traced() or exported():
            raise ValueError(
                "guide 'semi_amortized': its steps take gradients, which TorchScript and "
                "torch.export can't trace; take Trace_ELBO in place of JitTrace_ELBO, export its "
                "base, or take another guide"
            )
        unroll = self.unroll and torch.is_grad_enabled()
        self._refining = True
        try:
            with torch.set_grad_enabled(unroll), pyro.validation_enabled(False):
                change = self._ascend(q, x, unroll)
        finally:
            self._refining = False
        return moved(q, *change)

    def _ascend(self, q: Distribution, x: Tensor, unroll: bool) -> tuple[Tensor, Tensor]:
        """δ and s, from zeros."""
        p = self._model[0]()
        shift = log_scale = torch.zeros_like(q.mean)
        for noise in self.points:
            now = moved(q, shift, log_scale)
            z = now.mean + deviations(now, noise)
            slope = self._slope(x, z, p, now, unroll)
            step, step_log = now.variance * slope.mean(0), 0.5 * (slope * (z - now.mean)).mean(0)
            length = self.lr**2 * (step.square() / now.variance + 2 * step_log.square()).sum(
                -1, keepdim=True
            )
            rate = self.lr * length.clamp_min(1.0).rsqrt()
            shift, log_scale = shift + rate * step, log_scale + rate * step_log
        return shift, log_scale

    def _slope(
        self, x: Tensor, z: Tensor, p: Distribution, q: Distribution, unroll: bool
    ) -> Tensor:
        """∂ log w / ∂z for w = p(x, z) / q(z); 0 where it is not finite."""
        likelihood = self._model[1]
        dtype = next(
            (weight.dtype for weight in likelihood.parameters()), z.dtype
        )  # until the parts are of one type
        with torch.enable_grad():
            z = z if z.requires_grad else z.detach().requires_grad_()
            log_weight = p.log_prob(z) + likelihood(z.to(dtype)).log_prob(x) - q.log_prob(z)
            (slope,) = torch.autograd.grad(log_weight.sum(), z, create_graph=unroll)
        return slope.nan_to_num(0.0, 0.0, 0.0)

    def extra_repr(self) -> str:
        return f"{self.base.extra_repr()}, refined by {self.steps} steps"


def deviations(q: Distribution, noise: Tensor) -> Tensor:
    """L ε for noise (K, latent_dim) and each row of a normal with covariance L Lᵀ: (K, n,
    latent_dim).
    """
    noise = noise.unsqueeze(-2)
    if isinstance(q, MultivariateNormal | LowRankMultivariateNormal):
        return (q.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)
    return q.stddev * noise


def moved(q: Distribution, shift: Tensor, log_scale: Tensor) -> Distribution:
    """The normal of μ + δ + e^s (z - μ) for z ~ q = N(μ, Σ), of the same type as q.

    Raises:
        ValueError: q is no normal.
    """
    scale = log_scale.exp()
    if isinstance(q, Independent) and isinstance(q.base_dist, Normal):
        return dist.Normal(q.mean + shift, q.stddev * scale).to_event(1)
    if isinstance(q, MultivariateNormal):
        return dist.MultivariateNormal(q.loc + shift, scale_tril=scale.unsqueeze(-1) * q.scale_tril)
    if isinstance(q, LowRankMultivariateNormal):
        factor = scale.unsqueeze(-1) * q.cov_factor
        return dist.LowRankMultivariateNormal(q.loc + shift, factor, scale.square() * q.cov_diag)
    raise ValueError(
        f"semi_amortized: expected a base whose distribution is normal, got {type(q).__name__}; "
        "take base 'mean_field', 'full_rank' or 'low_rank'"
    )
