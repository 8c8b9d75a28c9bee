"""A normalizing flow: noise through invertible maps, to a density of any shape."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.distributions import Distribution

from pyro_vae.guides.base import GUIDES
from pyro_vae.guides.mean_field import MeanField
from pyro_vae.guides.pushforward import Pushforward, noise_points, with_parameters_of_now
from pyro_vae.networks import import_zuko

zuko = import_zuko()
Kind = Literal["iaf", "coupling", "spline"]
BINS = 8
SPLINE = {
    "univariate": partial(zuko.transforms.MonotonicRQSTransform, slope=1e-3),
    "shapes": [(BINS,), (BINS,), (BINS - 1,)],
}


@GUIDES.register("flow")
class Flow(nn.Module):
    """q(z | x) is the density of z = μ(x) + σ(x) T(ε; x) with ε ~ N(0, I), T = Tₙ ∘ ... ∘ T₁ and T
    of networks.

    log q(z | x) = log N(ε | 0, I) - Σᵢ log σᵢ - log |∂T/∂ε|

    "iaf": each Tₖ scales and shifts each dimension by a network of all before it, in alternating
    order; draws with their densities take one pass, the density of any other z takes latent_dim
    passes a transform. "coupling": scales and shifts half of the dimensions by a network of the
    other half; two passes at most. "spline": a coupling with monotonic rational-quadratic splines
    on (-5, 5) in place of scales and shifts. With T = 1 it is the guide `mean_field`. Mean and
    standard deviation are estimates, with fixed noise (see `Pushforward`). Fitted by the ELBO, a
    flow can have tails that are too thin, splines most of all: `evidence` tells by its pareto_k.

    References:
        Variational Inference with Normalizing Flows (Rezende, Mohamed, 2015).
        Improved Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016).
        Density Estimation using Real NVP (Dinh, Sohl-Dickstein, Bengio, 2017).
        Neural Spline Flows (Durkan, Bekasov, Murray, Papamakarios, 2019).

    Arguments:
        features: width of the encoder's output.
        latent_dim: length of z.
        transform: "iaf", "coupling" or "spline".
        transforms: n.
        hidden_dims: widths of the hidden layers of each network.
        context_dim: numbers about x that each network sees, a linear map of the features.

    Example:
        >>> Flow(16, 2, transform="spline")(torch.zeros(5, 16)).rsample().shape
        torch.Size([5, 2])
    """

    points: Tensor

    def __init__(
        self,
        features: int,
        latent_dim: int,
        *,
        transform: Kind = "iaf",
        transforms: PositiveInt = 2,
        hidden_dims: tuple[PositiveInt, ...] = (64,),
        context_dim: PositiveInt = 16,
    ) -> None:
        super().__init__()
        self.kind = transform
        self.base = MeanField(features, latent_dim)
        self.context = nn.Linear(features, context_dim)
        self.transform = Transforms(latent_dim, context_dim, transform, transforms, hidden_dims)
        self.register_buffer("points", noise_points(256, latent_dim), persistent=False)

    def forward(self, features: Tensor) -> Distribution:
        base, transform = (
            self.base(features),
            with_parameters_of_now(self.transform, self.context(features)),
        )
        return Flowed(base.mean, base.stddev, transform, self.points, self.transform.passes)

    def extra_repr(self) -> str:
        return f"z = μ(x) + σ(x) T(ε; x), ε ~ N(0, I), T of {len(self.transform.steps)} {self.kind}"


class Transforms(nn.Module):
    """T = Tₙ ∘ ... ∘ T₁ given a context: called with ε, or with T(ε) and inverse=True, it gives the
    other and log |∂|.

    Arguments:
        dim: length of ε.
        context_dim: length of the context.
        kind: "iaf", "coupling" or "spline".
        count: n.
        hidden_dims: widths of the hidden layers of each network.
    """

    def __init__(
        self, dim: int, context_dim: int, kind: Kind, count: int, hidden_dims: tuple[int, ...]
    ) -> None:
        super().__init__()
        options: dict[str, Any] = {"hidden_features": hidden_dims, "activation": nn.SiLU}
        self.passes = dim if kind == "iaf" else 2
        options |= {"passes": self.passes} | (SPLINE if kind == "spline" else {})
        orders = torch.arange(dim), torch.arange(dim).flip(0)
        self.steps = nn.ModuleList(
            zuko.flows.MaskedAutoregressiveTransform(
                dim, context_dim, order=orders[k % 2], **options
            )
            for k in range(count)
        )

    def forward(
        self, context: Tensor, value: Tensor, inverse: bool = False
    ) -> tuple[Tensor, Tensor]:
        transform = zuko.transforms.ComposedTransform(*(step(context) for step in self.steps))
        moved: tuple[Tensor, Tensor] = (transform.inv if inverse else transform).call_and_ladj(
            value
        )
        return moved


class Flowed(Pushforward):
    """The distribution of z = loc + scale T(ε).

    Arguments:
        loc, scale: shaped (*batch_shape, latent_dim).
        transform: `Transforms` with its context.
        points: from `noise_points`.
        passes: of the networks for the density of any z.
    """

    def __init__(
        self,
        loc: Tensor,
        scale: Tensor,
        transform: Callable[..., Any],
        points: Tensor,
        passes: int = 1,
    ) -> None:
        self.loc, self.scale, self.transform, self.passes = loc, scale, transform, passes
        super().__init__(points, loc.shape[:-1])

    def push(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        moved, log_det = self.transform(noise)
        return self.loc + self.scale * moved, log_det + self.scale.log().sum(-1)

    def pull(self, z: Tensor) -> tuple[Tensor, Tensor]:
        noise, log_det = self.transform((z - self.loc) / self.scale, inverse=True)
        return noise, self.scale.log().sum(-1) - log_det

    def expand(self, batch_shape: Any, _instance: Any = None) -> "Flowed":
        shape = (*batch_shape, -1)
        return Flowed(
            self.loc.expand(shape),
            self.scale.expand(shape),
            self.transform,
            self.points,
            self.passes,
        )
