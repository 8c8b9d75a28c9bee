"""Normalizing flows: a learned invertible map from z to independent standard normals."""

from collections.abc import Sequence
from typing import Any, Literal

import pyro.distributions as dist
import torch
from pydantic import PositiveInt
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.types import _size

from pyro_vae.networks import import_zuko, mlp
from pyro_vae.priors.base import PRIORS

LARGEST_LOG_SCALE = 3.0
Widths = tuple[PositiveInt, ...]


@PRIORS.register("flow")
class Flow(nn.Module):
    """p(z) = N(f(z) | 0, I) |det ∂f/∂z|, f = f_T ∘ … ∘ f₁ invertible: an exact density of nearly
    any shape.

    It starts at f(z) = z, the standard normal. With "realnvp" density and draws cost the same;
    "maf" and "nsf" pay for a draw latent_dim times what they pay for a density. "nsf" bends only
    inside [-5, 5]. A flexible prior can overfit: choose the epoch on validation rows.

    References:
        Density estimation using Real NVP (Dinh, Sohl-Dickstein, Bengio, 2017).
        Masked Autoregressive Flow for Density Estimation (Papamakarios, Pavlakou, Murray, 2017).
        Neural Spline Flows (Durkan, Bekasov, Murray, Papamakarios, 2019).

    Arguments:
        latent_dim: length of z.
        transform: "realnvp": one half of z shifts and scales the other; "maf": each number is
            shifted and scaled by those before it; "nsf": each is bent by a monotone spline that
            depends on those before it.
        transforms: T.
        hidden_dims: widths of the hidden layers of each f.

    Raises:
        ValueError: "realnvp" with a single latent variable, which has no halves.

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
        transform: Literal["realnvp", "maf", "nsf"] = "realnvp",
        transforms: PositiveInt = 8,
        hidden_dims: Widths = (128, 128),
    ) -> None:
        super().__init__()
        if transform == "realnvp" and latent_dim == 1:
            raise ValueError(
                "flow: transform 'realnvp' moves one half of z by the other, expected latent_dim "
                "of at least 2, got 1; take transform 'nsf' (or 'maf', which leaves a single "
                "number normal)"
            )
        self.transform = transform
        self.register_buffer("loc", torch.zeros(latent_dim), persistent=False)
        if transform == "realnvp":
            layers: list[nn.Module] = [
                Coupling(latent_dim, step % 2 == 1, hidden_dims) for step in range(transforms)
            ]
        else:
            layers = [
                Autoregressive(layer)
                for layer in _zuko_layers(transform, latent_dim, transforms, hidden_dims)
            ]
        self.layers = nn.ModuleList(layers)

    def forward(self) -> Distribution:
        return _Flow(
            dist.Normal(self.loc, torch.ones_like(self.loc)).to_event(1), list(self.layers)
        )

    def extra_repr(self) -> str:
        return f"z = f⁻¹(ε), ε ~ N(0, I), {self.transform}"


class Coupling(nn.Module):
    """(a, b) ↦ (b · exp s(a) + t(a), a) for the two parts of z, with s and t from one network:
    log|det| = Σ s(a).

    The parts change places, so that the next coupling moves the other; s stays between -3 and 3.

    Arguments:
        latent_dim: length of z.
        swapped: whether the first part is the shorter one, as it is after an odd number of
            couplings.
        hidden_dims: widths of the hidden layers.

    Example:
        >>> coupling, z = Coupling(3, False, (8,)), torch.tensor([1.0, 2.0, 3.0])
        >>> moved, log_det = coupling(z)
        >>> moved, coupling.inverse(moved)
        (tensor([3., 1., 2.], grad_fn=<CatBackward0>), tensor([1., 2., 3.], grad_fn=<CatBackward0>))
    """

    def __init__(self, latent_dim: int, swapped: bool, hidden_dims: Widths) -> None:
        super().__init__()
        short, long = latent_dim // 2, latent_dim - latent_dim // 2
        self.sizes = (short, long) if swapped else (long, short)
        self.net = mlp((self.sizes[0],), (2, self.sizes[1]), hidden_dims=hidden_dims)
        nn.init.zeros_(self.net[-2].weight)  # type: ignore[arg-type]

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        a, b = z.split(self.sizes, -1)
        log_scale, shift = self._affine(a)
        return torch.cat([b * log_scale.exp() + shift, a], -1), log_scale.sum(-1)

    def inverse(self, moved: Tensor) -> Tensor:
        b, a = moved.split(self.sizes[::-1], -1)
        log_scale, shift = self._affine(a)
        return torch.cat([a, (b - shift) * (-log_scale).exp()], -1)

    def _affine(self, a: Tensor) -> tuple[Tensor, Tensor]:
        raw, shift = self.net(a).unbind(-2)
        return LARGEST_LOG_SCALE * torch.tanh(raw / LARGEST_LOG_SCALE), shift


class Autoregressive(nn.Module):
    """zᵢ ↦ g(zᵢ; z₁, …, zᵢ₋₁), monotone in zᵢ: a lazy transform of zuko's. Its inverse goes number
    by number.
    """

    def __init__(self, lazy: nn.Module) -> None:
        super().__init__()
        self.lazy = lazy

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        moved, log_det = self.lazy().call_and_ladj(z)
        return moved, log_det

    def inverse(self, moved: Tensor) -> Tensor:
        z: Tensor = self.lazy().inv(moved)
        return z


class _Flow(TorchDistribution):
    """The density of z for which the layers map z to a draw of `base`."""

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, base: Distribution, layers: Sequence[Any]) -> None:
        self.base, self.layers = base, layers
        super().__init__(event_shape=base.event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        log_det = value.new_zeros(())
        for layer in self.layers:
            value, change = layer(value)
            log_det = log_det + change
        return self.base.log_prob(value) + log_det

    def rsample(self, sample_shape: _size = torch.Size(), **options: Any) -> Tensor:
        z: Tensor = self.base.rsample(sample_shape, **options)
        for layer in reversed(self.layers):
            z = layer.inverse(z)
        return z


def _zuko_layers(
    transform: str, latent_dim: int, transforms: int, hidden_dims: Widths
) -> list[nn.Module]:
    """The autoregressive transforms of zuko's flow of that name, each at the identity."""
    flow = getattr(import_zuko().flows, transform.upper())
    built = flow(latent_dim, transforms=transforms, hidden_features=hidden_dims, activation=nn.SiLU)
    layers = list(built.transform.transforms)
    for layer in layers:  # a single number has no network, and the parameters stand by themselves
        for parameter in (
            layer.hyper[-1].parameters() if hasattr(layer, "hyper") else layer.parameters()
        ):
            nn.init.zeros_(parameter)
    return layers
