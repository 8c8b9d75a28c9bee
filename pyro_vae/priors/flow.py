"""Normalizing flows: a learned invertible map from z to independent standard normals."""

from collections.abc import Sequence
from typing import Any

import pyro.distributions as dist
import torch
from pydantic import PositiveInt
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.types import _size

from pyro_vae.networks.invertible import (
    Autoregressive,
    Coupling,
    TransformName,
    Widths,
    masked_transforms,
    start_at_identity,
    transform_name,
)
from pyro_vae.priors.base import PRIORS


@PRIORS.register("flow")
class Flow(nn.Module):
    """p(z) = N(f(z) | 0, I) |det ∂f/∂z| for f = f_T ∘ … ∘ f₁ invertible: of almost any shape.

    It starts at f(z) = z, the standard normal. With "coupling" density and draws cost the same;
    with "autoregressive" and "spline" a draw costs latent_dim times as much as a density. "spline"
    changes z only inside [-5, 5]. A flexible prior can overfit: choose the epoch by its validation
    loss.

    References:
        Density estimation using Real NVP (Dinh, Sohl-Dickstein, Bengio, 2017).
        Masked Autoregressive Flow for Density Estimation (Papamakarios, Pavlakou, Murray, 2017).
        Neural Spline Flows (Durkan, Bekasov, Murray, Papamakarios, 2019).

    Arguments:
        latent_dim: length of z.
        transform: "coupling": one half of z shifts and scales the other; "autoregressive": each
            number is shifted and scaled by those before it; "spline": each number goes through a
            monotone spline that depends on those before it.
        transforms: T.
        hidden_dims: widths of the hidden layers of each f.

    Raises:
        ValueError: "coupling" with a single latent variable, which has no halves.

    Example:
        >>> prior = Flow(4, transforms=2, hidden_dims=(16,))
        >>> prior().log_prob(torch.zeros(3, 4)).shape, prior().rsample((3,)).shape
        (torch.Size([3]), torch.Size([3, 4]))
    """

    loc: Tensor

    def __init__(
        self,
        latent_dim: int,
        *,
        transform: TransformName = "coupling",
        transforms: PositiveInt = 8,
        hidden_dims: Widths = (128, 128),
    ) -> None:
        super().__init__()
        if transform_name(transform) == "coupling" and latent_dim == 1:
            raise ValueError(
                "flow: transform 'coupling' moves one half of z by the other, expected latent_dim "
                "of at least 2, got 1; take transform 'spline' (or 'autoregressive', which leaves "
                "a single number normal)"
            )
        self.transform = transform
        self.register_buffer("loc", torch.zeros(latent_dim), persistent=False)
        self.layers = nn.ModuleList(
            _layers(transform, latent_dim, transforms, hidden_dims)
        )

    def forward(self) -> Distribution:
        noise = dist.Normal(self.loc, torch.ones_like(self.loc)).to_event(1)
        return _Flow(noise, list(self.layers))

    def extra_repr(self) -> str:
        return f"z = f⁻¹(ε), ε ~ N(0, I), {self.transform}"


def _layers(
    transform: TransformName,
    latent_dim: int,
    count: int,
    hidden_dims: Widths,
) -> list[nn.Module]:
    """f₁, ..., f_T, each at the identity."""
    if transform == "coupling":
        return [
            Coupling(latent_dim, index % 2 == 1, hidden_dims) for index in range(count)
        ]
    layers = masked_transforms(
        latent_dim,
        0,
        spline=transform == "spline",
        passes=latent_dim,
        count=count,
        hidden_dims=hidden_dims,
    )
    for layer in layers:
        start_at_identity(layer)
    return [Autoregressive(layer) for layer in layers]


class _Flow(TorchDistribution):
    """The density of z for which the layers map z to a draw of `base`."""

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        base: Distribution,
        layers: Sequence[Any],
    ) -> None:
        self.base = base
        self.layers = layers
        super().__init__(event_shape=base.event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        log_det = value.new_zeros(())
        for layer in self.layers:
            value, change = layer(value)
            log_det = log_det + change
        return self.base.log_prob(value) + log_det

    def rsample(
        self,
        sample_shape: _size = torch.Size(),
        **options: Any,
    ) -> Tensor:
        z: Tensor = self.base.rsample(sample_shape, **options)
        for layer in reversed(self.layers):
            z = layer.inverse(z)
        return z
