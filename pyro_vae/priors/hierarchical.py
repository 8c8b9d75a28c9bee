"""Two levels of latent variables as one distribution over both."""

from typing import Annotated, Any, cast

import pyro.distributions as dist
import torch
from pydantic import Field, PositiveInt, TypeAdapter
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.types import _size

from pyro_vae.kind_options import Options
from pyro_vae.networks import mlp, positive
from pyro_vae.priors.base import PRIORS
from pyro_vae.registry import Choice

Top = Annotated[Options, Choice(PRIORS)]


@PRIORS.register("hierarchical")
class Hierarchical(nn.Module):
    """p(z) = p(z₂) N(z₁ | μ(z₂), diag σ(z₂)²) for z = (z₁, z₂), the top level z₂ at the end.

    References:
        Ladder Variational Autoencoders (Sønderby, Raiko, Maaløe, Sønderby, Winther, 2016);
        VAE with a VampPrior (Tomczak, Welling, 2018), for its two-level model, which is top="vamp".

    Arguments:
        latent_dim: length of z.
        top_dim: length of z₂, less than latent_dim.
        top: p(z₂), any prior with a density.
        hidden_dims: widths of the network from z₂ to μ and σ.

    Raises:
        ValueError: nothing left for z₁, or a top level without a density.

    Example:
        >>> prior = Hierarchical(5, top_dim=2, top={"kind": "mixture", "components": 3})
        >>> prior().log_prob(prior().sample((4,))).shape
        torch.Size([4])
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        top_dim: Annotated[PositiveInt, Field(examples=[1])],
        top: Top = cast(Options, "standard_normal"),  # noqa: B008
        hidden_dims: tuple[PositiveInt, ...] = (128, 128),
    ) -> None:
        super().__init__()
        if top_dim >= latent_dim:
            raise ValueError(
                f"hierarchical: expected top_dim below latent_dim = {latent_dim}, got {top_dim}"
            )
        described = TypeAdapter[Options](Top).validate_python(top)
        if described.kind in {"flat", "custom"}:
            raise ValueError(
                "hierarchical: expected a kind of prior with a density as top, got "
                f"{described.kind!r}"
            )
        self.latent_dim = latent_dim
        self.top: nn.Module = PRIORS.build(described, top_dim)
        self.net = mlp((top_dim,), (2, latent_dim - top_dim), hidden_dims=hidden_dims)

    def forward(self) -> Distribution:
        return _TwoLevels(self.top(), self.conditional, self.latent_dim)

    def conditional(self, z2: Tensor) -> Distribution:
        """p(z₁ | z₂) for z₂ shaped (..., top_dim)."""
        loc, raw_scale = self.net(z2).unbind(-2)
        return dist.Normal(loc, positive(raw_scale)).to_event(1)

    def extra_repr(self) -> str:
        return f"z₁ ~ N(μ(z₂), diag σ(z₂)²), z₂ as {self.top.extra_repr()}"


class _TwoLevels(TorchDistribution):
    """p(z₂) p(z₁ | z₂) over vectors z = (z₁, z₂)."""

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012
    support = constraints.real_vector

    def __init__(
        self,
        top: Distribution,
        conditional: Any,
        latent_dim: int,
    ) -> None:
        self.top = top
        self.conditional = conditional
        super().__init__(event_shape=torch.Size([latent_dim]))

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return self.top.has_rsample

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        z1, z2 = value.tensor_split([-self.top.event_shape[0]], -1)
        density: Tensor = self.top.log_prob(z2) + self.conditional(z2).log_prob(z1)
        return density

    def sample(
        self,
        sample_shape: _size = torch.Size(),
        **options: Any,
    ) -> Tensor:
        with torch.no_grad():
            z2 = self.top.sample(sample_shape, **options)
            return torch.cat([self.conditional(z2).sample(), z2], -1)

    def rsample(
        self,
        sample_shape: _size = torch.Size(),
        **options: Any,
    ) -> Tensor:
        z2 = self.top.rsample(sample_shape, **options)
        return torch.cat([self.conditional(z2).rsample(), z2], -1)
