"""Two levels of latent variables, z = (z₁, z₂): normals, one conditional on the other."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.functional import silu

from pyro_vae.guides.base import GUIDES
from pyro_vae.guides.mean_field import MeanField
from pyro_vae.guides.pushforward import Pushforward, bind_parameters, noise_points

Direction = Literal["top_down", "bottom_up"]


@GUIDES.register("hierarchical")
class Hierarchical(nn.Module):
    """q(z | x) over two levels z = (z₁, z₂), whose factors are diagonal normals.

    top_down:   q(z | x) = q(z₂ | x) q(z₁ | x, z₂)
    bottom_up:  q(z | x) = q(z₁ | x) q(z₂ | x, z₁)

    The top level z₂ is the last `top_dim` entries of z. The distribution over z of direction
    "top_down" has an attribute `top`, the distribution q(z₂ | x), which a VampPrior on the top
    level needs. With "bottom_up" q(z₂ | x) has no closed form, so there is none. Mean and standard
    deviation are exact for the first factor and estimates with fixed noise for the second (see
    `Pushforward`).

    References:
        Importance Weighted Autoencoders (Burda, Grosse, Salakhutdinov, 2016), for bottom_up.
        VAE with a VampPrior (Tomczak, Welling, 2018), for top_down.

    Arguments:
        features: width of the encoder's output.
        latent_dim: length of z.
        top_dim: length of z₂, below latent_dim.
        direction: "top_down" or "bottom_up".
        hidden_dim: width of the second factor's hidden layer.

    Raises:
        ValueError: no room for z₁.

    Example:
        >>> q = Hierarchical(16, 5, top_dim=2)(torch.zeros(4, 16))
        >>> q.event_shape, q.top.event_shape
        (torch.Size([5]), torch.Size([2]))
    """

    points: Tensor

    def __init__(
        self,
        features: int,
        latent_dim: int,
        *,
        top_dim: Annotated[PositiveInt, Field(examples=[1])],
        direction: Direction = "top_down",
        hidden_dim: PositiveInt = 128,
    ) -> None:
        super().__init__()
        if top_dim >= latent_dim:
            raise ValueError(
                "hierarchical: expected top_dim, the length of z₂ in z = (z₁, z₂), below "
                f"latent_dim = {latent_dim}, got {top_dim}; lower it, or raise latent_dim"
            )
        first_dim = top_dim
        if direction == "bottom_up":
            first_dim = latent_dim - top_dim
        self.direction = direction
        self.top_dim = top_dim
        self.first = MeanField(features, first_dim)
        self.second = Conditional(
            features, first_dim, latent_dim - first_dim, hidden_dim
        )
        self.register_buffer("points", noise_points(256, latent_dim), persistent=False)

    def forward(self, features: Tensor) -> Distribution:
        second = bind_parameters(self.second, self.second.see(features))
        return TwoLevels(
            self.first(features), second, self.direction, self.top_dim, self.points
        )

    def extra_repr(self) -> str:
        if self.direction == "top_down":
            return "(z₁, z₂) ~ q(z₂ | x) q(z₁ | x, z₂)"
        return "(z₁, z₂) ~ q(z₁ | x) q(z₂ | x, z₁)"


class Conditional(nn.Module):
    """q(b | a, x) = N(b | μ(h), diag σ(h)²) with one hidden layer h = silu(W a + V features + c).

    Arguments:
        features: width of the encoder's output.
        given, dim: lengths of a and b.
        hidden_dim: width of h.
    """

    def __init__(
        self,
        features: int,
        given: int,
        dim: int,
        hidden_dim: int,
    ) -> None:
        super().__init__()
        self.see = nn.Linear(features, hidden_dim)
        self.hidden = nn.Linear(given, hidden_dim, bias=False)
        self.head = MeanField(hidden_dim, dim)

    def forward(self, seen: Tensor, given: Tensor) -> Distribution:
        q: Distribution = self.head(silu(self.hidden(given) + seen))
        return q


class TwoLevels(Pushforward):
    """The distribution of z = (z₁, z₂): one is drawn from `first`, the other from `second(one)`.

    Arguments:
        first: a diagonal normal.
        second: from draws of the first to a diagonal normal.
        direction: "top_down" draws z₂ first.
        top_dim: length of z₂.
        points: from `noise_points`.
    """

    def __init__(
        self,
        first: Distribution,
        second: Callable[[Tensor], Distribution],
        direction: Direction,
        top_dim: int,
        points: Tensor,
    ) -> None:
        self.first = first
        self.second = second
        self.direction = direction
        self.top_dim = top_dim
        super().__init__(points, first.batch_shape)

    @property
    def top(self) -> Distribution:
        """q(z₂ | x)."""
        if self.direction == "bottom_up":
            raise AttributeError(
                "q(z₂ | x) has no closed form with direction 'bottom_up'; take 'top_down'"
            )
        return self.first

    def pyro_vae_top(self) -> Distribution | None:
        if self.direction == "bottom_up":
            return None
        return self.first

    def push(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        first_noise, second_noise = self._in_order(noise)
        one, log_det_one = _draw(self.first, first_noise)
        other, log_det_other = _draw(self.second(one), second_noise)
        return self._together(one, other), log_det_one + log_det_other

    def pull(self, z: Tensor) -> tuple[Tensor, Tensor]:
        one, other = self._in_order(z)
        noise_one, log_det_one = _standardised(self.first, one)
        noise_other, log_det_other = _standardised(self.second(one), other)
        return self._together(noise_one, noise_other), log_det_one + log_det_other

    def expand(
        self,
        batch_shape: Any,
        _instance: Any = None,
    ) -> "TwoLevels":
        first = self.first.expand(batch_shape)
        return TwoLevels(first, self.second, self.direction, self.top_dim, self.points)

    def _in_order(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The part that is drawn first and the other one."""
        z1, z2 = z.tensor_split([-self.top_dim], -1)
        if self.direction == "top_down":
            return z2, z1
        return z1, z2

    def _together(self, first: Tensor, second: Tensor) -> Tensor:
        """z of the part that is drawn first and the other one."""
        levels = [first, second]
        if self.direction == "top_down":
            levels.reverse()
        return torch.cat(levels, -1)


def _draw(q: Distribution, noise: Tensor) -> tuple[Tensor, Tensor]:
    """z = μ + σ ε and log |∂z/∂ε|."""
    z = q.mean + q.stddev * noise
    return z, q.stddev.log().sum(-1)


def _standardised(q: Distribution, z: Tensor) -> tuple[Tensor, Tensor]:
    """ε = (z - μ) / σ and log |∂z/∂ε|."""
    noise = (z - q.mean) / q.stddev
    return noise, q.stddev.log().sum(-1)
