"""The encoder proposes, and a few gradient steps on each row's ELBO refine what it proposed."""

from typing import Annotated, Any, cast

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
from pyro_vae.hooks import ModelParts
from pyro_vae.kind_options import Options
from pyro_vae.networks import exported, traced
from pyro_vae.networks.context import Resolved
from pyro_vae.networks.evaluation_mode import unvalidated
from pyro_vae.registry import Choice

Base = Annotated[Options, Choice(GUIDES)]
MEAN_FIELD = cast(Options, "mean_field")
Even = Annotated[int, Field(ge=2, multiple_of=2)]


@GUIDES.register("semi_amortized")
class SemiAmortized(nn.Module):
    """q(z | x) = N(μ + δ, diag(e^s) Σ diag(e^s)): N(μ(x), Σ(x)), refined by gradient steps.

    (δ, s) start at 0 and ascend the ELBO of each row, with w = p(x, z) / q(z | x):

    δ ← δ + lr σ² (1/K) Σₖ ∂log w/∂zₖ
    s ← s + lr/2 (1/K) Σₖ (zₖ - μ - δ) ∂log w/∂zₖ

    These are natural gradients, with zₖ from the current q and σ² its variances; a step that would
    change q by more than about half a nat is shortened. The exact posterior stays where it is, for
    any K: all ∂log w/∂z are zero. The noise of the zₖ is fixed, so q is a function of the row
    alone. Refining takes `steps` gradients of the model with K draws. In a model with a context
    all densities are given c: q(z | x, c) ascends the ELBO of log p(x | c).

    The encoder's gradient goes through μ and Σ as if (δ, s) were constants; with unroll=True it
    goes through the steps too, as in the reference. A prior that is itself made of q(z | x) uses
    the proposed q while refining.

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
        ValueError: a base whose distribution is not normal; called without a model (`VAE` passes
            its parts to `pyro_vae_bind`).

    Example:
        >>> from pyro_vae import VAE
        >>> guide = {"kind": "semi_amortized", "base": "full_rank"}
        >>> vae = VAE(data_shape=(4,), latent_dim=2, guide=guide)
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
        self.steps = steps
        self.lr = lr
        self.unroll = unroll
        points = [
            noise_points(num_particles, latent_dim, seed) for seed in range(steps)
        ]
        self.register_buffer("points", torch.stack(points), persistent=False)
        # a tuple, since modules would be registered here a second time
        self._model: tuple[nn.Module, ...] = ()
        self._programs: tuple[Any, ...] = ()
        self._refining = False

    def pyro_vae_bind(self, parts: ModelParts) -> None:
        """Take the prior and the likelihood that the ELBO needs."""
        self._model = (parts.prior, parts.likelihood)
        self._programs = ()

    def pyro_vae_bind_programs(self, model: Any, guide: Any) -> None:
        """Take the densities p(z | c) and p(x | z, c) that the ELBO of rows with contexts needs."""
        self._model = (model.prior, model.likelihood)
        self._programs = (model,)

    def forward(self, features: Tensor) -> Distribution:
        """The distribution that is proposed."""
        q: Distribution = self.base(features)
        return q

    def pyro_vae_refine(
        self,
        q: Distribution,
        x: Tensor,
        context: Tensor | Resolved | None = None,
    ) -> Distribution:
        """The distribution after the steps; a context has vectors in the place of effects."""
        self._require_gradients()
        if self._refining:  # a prior that is made of this guide calls it
            return q
        unroll = self.unroll and torch.is_grad_enabled()
        self._refining = True
        try:
            with torch.set_grad_enabled(unroll), unvalidated():
                shift, log_scale = self._ascend(q, x, _resolved(context), unroll)
        finally:
            self._refining = False
        return moved(q, shift, log_scale)

    def _require_gradients(self) -> None:
        """Raise ValueError where log p(x, z) or its gradients can't be had."""
        if not self._model:
            raise ValueError(
                "semi_amortized: expected a model to refine for, got none; call "
                "pyro_vae_bind(vae.parts)"
            )
        if (traced() or exported()) and not self._refining:
            raise ValueError(
                "guide 'semi_amortized': its steps take gradients, which TorchScript and "
                "torch.export can't trace; take Trace_ELBO instead of JitTrace_ELBO, export its "
                "base, or take another guide"
            )

    def _ascend(
        self,
        q: Distribution,
        x: Tensor,
        context: Resolved | None,
        unroll: bool,
    ) -> tuple[Tensor, Tensor]:
        """δ and s after the steps."""
        p = self._prior(context)
        shift = torch.zeros_like(q.mean)
        log_scale = shift
        for noise in self.points:
            current = moved(q, shift, log_scale)
            z = current.mean + deviations(current, noise)
            gradient = self._gradient(x, z, p, current, context, unroll)
            step = current.variance * gradient.mean(0)
            log_step = 0.5 * (gradient * (z - current.mean)).mean(0)
            # about twice KL(q after a step of rate 1 ‖ q before it)
            change = step.square() / current.variance + 2 * log_step.square()
            length = self.lr**2 * change.sum(-1, keepdim=True)
            rate = self.lr * length.clamp_min(1.0).rsqrt()
            shift = shift + rate * step
            log_scale = log_scale + rate * log_step
        return shift, log_scale

    def _gradient(
        self,
        x: Tensor,
        z: Tensor,
        p: Distribution,
        q: Distribution,
        context: Resolved | None,
        unroll: bool,
    ) -> Tensor:
        """∂ log w / ∂z for w = p(x, z) / q(z); 0 where it is not finite."""
        likelihood = self._model[1]
        # the parts of a model may have several dtypes while it is built
        dtype = next((weight.dtype for weight in likelihood.parameters()), z.dtype)
        with torch.enable_grad():
            if not z.requires_grad:
                z = z.detach().requires_grad_()
            p_x = self._likelihood(z.to(dtype), context)
            log_joint = p.log_prob(z) + p_x.log_prob(x)
            log_weight = log_joint - q.log_prob(z)
            (gradient,) = torch.autograd.grad(log_weight.sum(), z, create_graph=unroll)
        return gradient.nan_to_num(0.0, 0.0, 0.0)

    def _prior(self, context: Resolved | None) -> Any:
        """p(z), or p(z | c)."""
        if context is None:
            return self._model[0]()
        return self._programs[0].p_z(context)

    def _likelihood(self, z: Tensor, context: Resolved | None) -> Any:
        """p(x | z), or p(x | z, c)."""
        if context is None:
            return self._model[1](z)
        return self._programs[0].p_x(z, context)

    def extra_repr(self) -> str:
        return f"{self.base.extra_repr()}, refined by {self.steps} steps"


def _resolved(context: Tensor | Resolved | None) -> Resolved | None:
    """The context that an encoder gets, which never has levels of random effects."""
    return Resolved(context) if isinstance(context, Tensor) else context


def deviations(q: Distribution, noise: Tensor) -> Tensor:
    """L ε for noise (K, latent_dim) and normals with covariance L Lᵀ: (K, ..., n, latent_dim)."""
    noise = noise.reshape(len(noise), *[1] * len(q.batch_shape), -1)
    if isinstance(q, MultivariateNormal | LowRankMultivariateNormal):
        return (q.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)
    return q.stddev * noise


def moved(
    q: Distribution,
    shift: Tensor,
    log_scale: Tensor,
) -> Distribution:
    """The normal of μ + δ + e^s (z - μ) for z ~ q = N(μ, Σ), of the same type as q.

    Raises:
        ValueError: q is no normal.
    """
    scale = log_scale.exp()
    if isinstance(q, Independent) and isinstance(q.base_dist, Normal):
        return dist.Normal(q.mean + shift, q.stddev * scale).to_event(1)
    if isinstance(q, MultivariateNormal):
        scale_tril = scale.unsqueeze(-1) * q.scale_tril
        return dist.MultivariateNormal(q.loc + shift, scale_tril=scale_tril)
    if isinstance(q, LowRankMultivariateNormal):
        factor = scale.unsqueeze(-1) * q.cov_factor
        return dist.LowRankMultivariateNormal(
            q.loc + shift, factor, scale.square() * q.cov_diag
        )
    raise ValueError(
        f"semi_amortized: expected a base whose distribution is normal, got {type(q).__name__}; "
        "take base 'mean_field', 'full_rank' or 'low_rank'"
    )
