"""Invertible maps with a known log |det|, which the flows of priors and of guides are made of."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, PositiveInt
from torch import Tensor, nn
from torch.distributions import Distribution

from pyro_vae.networks.perceptron import mlp


def import_zuko() -> Any:
    """The package zuko, imported without its change of torch's validation of distributions.

    Example:
        >>> before = Distribution._validate_args
        >>> import_zuko().__name__, Distribution._validate_args == before
        ('zuko', True)
    """
    validate = Distribution._validate_args
    import zuko  # which switches the validation off

    Distribution.set_default_validate_args(validate)
    return zuko


zuko = import_zuko()

LARGEST_LOG_SCALE = 3.0
"""A coupling scales by e^-3 to e^3, so that its inverse keeps its digits."""
BINS = 8
"""Bins of a spline."""
SPLINE = {  # as in zuko's NSF
    "univariate": partial(zuko.transforms.MonotonicRQSTransform, slope=1e-3),
    "shapes": [(BINS,), (BINS,), (BINS - 1,)],
}
FORMER_NAMES = {
    "iaf": "autoregressive",
    "maf": "autoregressive",
    "nsf": "spline",
    "realnvp": "coupling",
}
"""What the transforms were called before version 0.1.0."""


def transform_name(name: Any) -> Any:
    """The name of a transform as it is given; an old name is refused with the new one.

    Raises:
        ValueError: a name from before version 0.1.0.

    Example:
        >>> transform_name("spline")
        'spline'
        >>> transform_name("nsf")
        Traceback (most recent call last):
        ValueError: transform 'nsf' is now called 'spline'
    """
    if isinstance(name, str) and name in FORMER_NAMES:
        raise ValueError(f"transform {name!r} is now called {FORMER_NAMES[name]!r}")
    return name


TransformName = Annotated[
    Literal["coupling", "autoregressive", "spline"], BeforeValidator(transform_name)
]
Widths = tuple[PositiveInt, ...]


class Coupling(nn.Module):
    """(a, b) ↦ (b · exp s(a) + t(a), a) for the two parts of z, with log |det| = Σ s(a).

    One network gives s and t. The parts trade positions, so that the next coupling moves the other
    one; s stays between -3 and 3.

    References:
        Density estimation using Real NVP (Dinh, Sohl-Dickstein, Bengio, 2017).

    Arguments:
        dim: length of z.
        swapped: whether the first part is the shorter one, as after an odd number of couplings.
        hidden_dims: widths of the hidden layers.

    Example:
        >>> coupling, z = Coupling(3, False, (8,)), torch.tensor([1.0, 2.0, 3.0])
        >>> moved, log_det = coupling(z)
        >>> moved, coupling.inverse(moved)
        (tensor([3., 1., 2.], grad_fn=<CatBackward0>), tensor([1., 2., 3.], grad_fn=<CatBackward0>))
    """

    def __init__(self, dim: int, swapped: bool, hidden_dims: Widths) -> None:
        super().__init__()
        short = dim // 2
        self.sizes = (dim - short, short)
        if swapped:
            self.sizes = (short, dim - short)
        self.net = mlp((self.sizes[0],), (2, self.sizes[1]), hidden_dims=hidden_dims)
        nn.init.zeros_(self.net[-2].weight)  # type: ignore[arg-type]

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        a, b = z.split(self.sizes, -1)
        log_scale, shift = self._affine(a)
        moved = b * log_scale.exp() + shift
        return torch.cat([moved, a], -1), log_scale.sum(-1)

    def inverse(self, moved: Tensor) -> Tensor:
        b, a = moved.split(self.sizes[::-1], -1)
        log_scale, shift = self._affine(a)
        return torch.cat([a, (b - shift) * (-log_scale).exp()], -1)

    def _affine(self, a: Tensor) -> tuple[Tensor, Tensor]:
        raw, shift = self.net(a).unbind(-2)
        log_scale = LARGEST_LOG_SCALE * torch.tanh(raw / LARGEST_LOG_SCALE)
        return log_scale, shift


class Autoregressive(nn.Module):
    """zᵢ ↦ g(zᵢ; z₁, …, zᵢ₋₁), monotone in zᵢ; its inverse takes one pass for each number.

    Arguments:
        lazy: a lazy transform of zuko's without a context.
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


def masked_transforms(
    dim: int,
    context_dim: int,
    *,
    spline: bool,
    passes: int,
    count: int,
    hidden_dims: Sequence[int],
) -> list[nn.Module]:
    """Lazy transforms of zuko's, each number moved by a masked network of those before it.

    Every second transform has the numbers in reverse order.

    References:
        Masked Autoregressive Flow for Density Estimation (Papamakarios, Pavlakou, Murray, 2017).
        Neural Spline Flows (Durkan, Bekasov, Murray, Papamakarios, 2019).

    Arguments:
        dim: length of z.
        context_dim: length of what the networks see beside z; 0 for none.
        spline: monotone rational-quadratic splines on (-5, 5) instead of scales and shifts.
        passes: calls of a network for the inverse; `dim` is autoregressive, 2 a coupling.
        count: number of transforms.
        hidden_dims: widths of the hidden layers of each network.

    Example:
        >>> (layer,) = masked_transforms(3, 0, spline=True, passes=3, count=1, hidden_dims=(8,))
        >>> layer()(torch.zeros(5, 3)).shape
        torch.Size([5, 3])
    """
    forward_order = torch.arange(dim)
    orders = (forward_order, forward_order.flip(0))
    univariate = SPLINE if spline else {}
    return [
        zuko.flows.MaskedAutoregressiveTransform(
            dim,
            context_dim,
            passes=passes,
            order=orders[index % 2],
            hidden_features=hidden_dims,
            activation=nn.SiLU,
            **univariate,
        )
        for index in range(count)
    ]


def start_at_identity(transform: nn.Module) -> None:
    """Set the last layer of a masked transform to zero, so that it maps z to z.

    Example:
        >>> (layer,) = masked_transforms(2, 0, spline=False, passes=2, count=1, hidden_dims=(8,))
        >>> start_at_identity(layer)
        >>> layer()(torch.tensor([1.0, 2.0]))
        tensor([1., 2.], grad_fn=<AddBackward0>)
    """
    # zuko's transform of a single number has no network: its parameters are its own
    last = transform
    if hasattr(transform, "hyper"):
        last = transform.hyper[-1]  # type: ignore[index, assignment]
    for parameter in last.parameters():
        nn.init.zeros_(parameter)


class ConditionalTransforms(nn.Module):
    """T = Tₙ ∘ ... ∘ T₁ given a context: from ε to T(ε) and log |∂T/∂ε|, or back with inverse=True.

    Arguments:
        dim: length of ε.
        context_dim: length of the context.
        transform: "autoregressive", "coupling", or "spline", which is a coupling with splines.
        count: n.
        hidden_dims: widths of the hidden layers of each network.

    Attributes:
        passes: calls of each network for the inverse.

    Example:
        >>> transforms = ConditionalTransforms(3, 2, "coupling", 2, (8,))
        >>> moved, log_det = transforms(torch.zeros(5, 2), torch.zeros(5, 3))
        >>> moved.shape, log_det.shape
        (torch.Size([5, 3]), torch.Size([5]))
    """

    def __init__(
        self,
        dim: int,
        context_dim: int,
        transform: TransformName,
        count: int,
        hidden_dims: Widths,
    ) -> None:
        super().__init__()
        self.passes = dim if transform == "autoregressive" else 2
        self.steps = nn.ModuleList(
            masked_transforms(
                dim,
                context_dim,
                spline=transform == "spline",
                passes=self.passes,
                count=count,
                hidden_dims=hidden_dims,
            )
        )

    def forward(
        self, context: Tensor, value: Tensor, inverse: bool = False
    ) -> tuple[Tensor, Tensor]:
        transform = zuko.transforms.ComposedTransform(
            *(step(context) for step in self.steps)
        )
        if inverse:
            transform = transform.inv
        moved, log_det = transform.call_and_ladj(value)
        return moved, log_det
