"""Parameters inside a plain transform of torch, which belong to no module, are refused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import (
    AffineTransform,
    ComposeTransform,
    Distribution,
    Independent,
    Normal,
    Transform,
    TransformedDistribution,
)

from pyro_vae import VAE, fit


def loose(shape: tuple[int, ...] = (2,)) -> nn.Parameter:
    return nn.Parameter(torch.ones(shape))


def affine(loc: Any, scale: Any) -> AffineTransform:
    return AffineTransform(loc, scale, event_dim=1)


def through(*transforms: Transform, loc: Tensor | None = None) -> Distribution:
    """A normal of torch, moved."""
    base = Independent(Normal(torch.zeros(2) if loc is None else loc, 1.0), 1)
    return TransformedDistribution(base, list(transforms))


class Guide(nn.Module):
    """A network whose normals go through a transform that is not its own."""

    def __init__(self, transform: Transform) -> None:
        super().__init__()
        self.net, self.transforms = nn.Linear(4, 2), (transform,)

    def forward(self, x: Tensor) -> Distribution:
        return through(*self.transforms, loc=self.net(x))


def prior_through(transform: Transform) -> Callable[[], Distribution]:
    return lambda: through(transform)


def likelihood_through(transform: Transform) -> Callable[[Tensor], Distribution]:
    return lambda z: through(transform, loc=torch.cat([z, z], -1))


class Owner(nn.Module):
    """A prior that owns what its transform is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.loc = loose()

    def forward(self) -> Distribution:
        return through(affine(self.loc, 1.0))


LOOSE: dict[str, Callable[[], dict[str, Any]]] = {
    "a location": lambda: {"prior": through(affine(loose(), 1.0))},
    "a scale": lambda: {"prior": through(affine(0.0, loose()))},
    "computed": lambda: {"prior": through(affine(0.0, loose().exp()))},
    "a tensor that asks for gradients": lambda: {
        "prior": through(affine(torch.ones(2, requires_grad=True), 1.0))
    },
    "the second of two": lambda: {
        "prior": through(affine(1.0, 2.0), affine(loose(), 1.0))
    },
    "inside a composition": lambda: {
        "prior": through(ComposeTransform([affine(1.0, 2.0), affine(loose(), 1.0)]))
    },
    "an inverse": lambda: {"prior": through(affine(loose(), 1.0).inv)},
    "by a function": lambda: {"prior": prior_through(affine(loose(), 1.0))},
    "a guide": lambda: {"guide": Guide(affine(loose(), 1.0))},
    "a likelihood": lambda: {
        "likelihood": likelihood_through(affine(loose((4,)), 1.0))
    },
}


@pytest.mark.parametrize("name", LOOSE)
def test_parameters_of_a_plain_transform_are_refused(name: str) -> None:
    fields = LOOSE[name]()
    ((slot, _),) = fields.items()
    message = (
        rf"^{slot}: expected its parameters in a module, .* would not reach, "
        r"of shape \(\d,\);"
    )
    with pytest.raises(ValueError, match=message):
        VAE(data_shape=(4,), latent_dim=2, **fields)


def test_the_same_transform_in_a_module_is_trained() -> None:
    vae = VAE(data_shape=(4,), latent_dim=2, prior=Owner())
    before = vae.prior.loc.detach().clone()
    fit(vae, torch.randn(20, 4), epochs=1, progress=False)
    assert (vae.prior.loc != before).all()


def test_a_transform_of_fixed_numbers_is_taken() -> None:
    prior = through(affine(torch.ones(2), torch.full((2,), 2.0)))
    assert VAE(data_shape=(4,), latent_dim=2, prior=prior).prior().event_shape == (2,)
