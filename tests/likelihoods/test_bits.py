"""The density of bits as a logarithm of products, against torch's own."""

import pytest
import torch

from pyro_vae.likelihoods import Bernoulli


def densities(
    logits: torch.Tensor, x: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    shape = logits.shape[1:]
    with torch.no_grad():
        found = Bernoulli(tuple(shape)).to(logits.dtype)(logits).log_prob(x)
    wide = torch.distributions.Bernoulli(logits=logits.double()).log_prob(x.double())
    return found, wide.flatten(1).sum(-1)


@pytest.mark.parametrize(
    "shape", [(1,), (111,), (112,), (113,), (784,), (28, 28), (3, 32, 32)]
)
@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 1e4])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-14)]
)
def test_agrees_with_torch(
    shape: tuple[int, ...], scale: float, dtype: torch.dtype, tolerance: float
) -> None:
    torch.manual_seed(0)
    logits = scale * torch.randn(9, *shape, dtype=dtype)
    x = torch.rand(9, *shape).round().to(dtype)
    found, expected = densities(logits, x)
    torch.testing.assert_close(
        found.double(),
        expected,
        rtol=tolerance,
        atol=tolerance * logits[0].numel() / 10,
    )


def test_rows_and_draws_broadcast() -> None:
    logits = torch.randn(5, 3, 130)
    x = torch.rand(3, 130).round()
    with torch.no_grad():
        found = Bernoulli((130,))(logits).log_prob(x)
    expected = torch.stack([densities(draw, x)[1] for draw in logits])
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("logit", [0.0, 1e-3, -40.0, 1e4])
def test_the_gradient_is_that_of_the_bits(logit: float) -> None:
    """∂ log p / ∂l = x - σ(l)."""
    logits = torch.full((200,), logit, requires_grad=True)
    x = torch.arange(200.0) % 2
    (slope,) = torch.autograd.grad(Bernoulli((200,))(logits).log_prob(x), logits)
    torch.testing.assert_close(slope, x - torch.sigmoid(logits.detach()))
