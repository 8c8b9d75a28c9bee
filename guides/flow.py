"""A normalizing flow: noise through invertible maps, to a density of any shape."""

from collections.abc import Callable
from typing import Any

from pydantic import PositiveInt
from torch import Tensor, nn
from torch.distributions import Distribution

from pyro_vae.guides.base import GUIDES
from pyro_vae.guides.mean_field import MeanField
from pyro_vae.guides.pushforward import Pushforward, bind_parameters, noise_points
from pyro_vae.networks.invertible import (
    ConditionalTransforms,
    TransformName,
    Widths,
    transform_name,
)


@GUIDES.register("flow")
class Flow(nn.Module):
    """q(z | x) is the density of z = μ(x) + σ(x) T(ε; x), ε ~ N(0, I), for T = Tₙ ∘ ... ∘ T₁.

    log q(z | x) = log N(ε | 0, I) - Σᵢ log σᵢ - log |∂T/∂ε|

    "autoregressive": each Tₖ scales and shifts each dimension by a network of all before it, in
    alternating order; draws with their densities take one pass, the density of any other z takes
    latent_dim passes for each Tₖ. "coupling": it scales and shifts half of the dimensions by a
    network of the other half; two passes at most. "spline": a coupling with monotone
    rational-quadratic splines on (-5, 5) instead of scales and shifts. With T = 1 it is the guide
    `mean_field`. Mean and standard deviation are estimates with fixed noise (see `Pushforward`).
    A flow fitted by the ELBO can have tails that are too thin, splines most of all: the pareto_k
    of `evidence` shows it.

    References:
        Variational Inference with Normalizing Flows (Rezende, Mohamed, 2015).
        Improved Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016).
        Density Estimation using Real NVP (Dinh, Sohl-Dickstein, Bengio, 2017).
        Neural Spline Flows (Durkan, Bekasov, Murray, Papamakarios, 2019).

    Arguments:
        features: width of the encoder's output.
        latent_dim: length of z.
        transform: "autoregressive", "coupling" or "spline".
        transforms: n.
        hidden_dims: widths of the hidden layers of each network.
        context_dim: numbers about x that each network sees, a linear map of the features.

    Example:
        >>> import torch
        >>> Flow(16, 2, transform="spline")(torch.zeros(5, 16)).rsample().shape
        torch.Size([5, 2])
    """

    points: Tensor

    def __init__(
        self,
        features: int,
        latent_dim: int,
        *,
        transform: TransformName = "autoregressive",
        transforms: PositiveInt = 2,
        hidden_dims: Widths = (64,),
        context_dim: PositiveInt = 16,
    ) -> None:
        super().__init__()
        self.kind = transform_name(transform)
        self.base = MeanField(features, latent_dim)
        self.context = nn.Linear(features, context_dim)
        self.transform = ConditionalTransforms(
            latent_dim, context_dim, transform, transforms, hidden_dims
        )
        self.register_buffer("points", noise_points(256, latent_dim), persistent=False)

    def forward(self, features: Tensor) -> Distribution:
        base = self.base(features)
        transform = bind_parameters(self.transform, self.context(features))
        return Flowed(
            base.mean, base.stddev, transform, self.points, self.transform.passes
        )

    def extra_repr(self) -> str:
        maps = f"T of {len(self.transform.steps)} {self.kind}"
        return f"z = μ(x) + σ(x) T(ε; x), ε ~ N(0, I), {maps}"


class Flowed(Pushforward):
    """The distribution of z = loc + scale T(ε).

    Arguments:
        loc, scale: shaped (*batch_shape, latent_dim).
        transform: `ConditionalTransforms` with its context.
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
        self.loc = loc
        self.scale = scale
        self.transform = transform
        self.passes = passes
        super().__init__(points, loc.shape[:-1])

    def push(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        moved, log_det = self.transform(noise)
        return self.loc + self.scale * moved, log_det + self.scale.log().sum(-1)

    def pull(self, z: Tensor) -> tuple[Tensor, Tensor]:
        noise, log_det = self.transform((z - self.loc) / self.scale, inverse=True)
        return noise, self.scale.log().sum(-1) - log_det

    def expand(
        self,
        batch_shape: Any,
        _instance: Any = None,
    ) -> "Flowed":
        shape = (*batch_shape, -1)
        return Flowed(
            self.loc.expand(shape),
            self.scale.expand(shape),
            self.transform,
            self.points,
            self.passes,
        )
