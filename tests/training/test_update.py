"""What follows a gradient is what torch and the eager step do."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pyro_vae.objectives import ELBO
from pyro_vae.training import State
from pyro_vae.training.ema import ExponentialMovingAverage
from pyro_vae.training.update import Update
from tests.training.small import small

OPTIMIZERS: dict[str, Any] = {
    "fused Adam": lambda weights: torch.optim.Adam(weights, lr=0.1, fused=True),
    "fused AdamW": lambda weights: torch.optim.AdamW(weights, lr=0.1, fused=True),
    "SGD": lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9),
}


def gradients_of(weights: list[nn.Parameter], seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(weight.shape, generator=generator) for weight in weights]


@pytest.mark.parametrize("clip_norm", [None, 0.5])
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_the_update_is_that_of_torch(make: Any, clip_norm: float | None) -> None:
    ours = small()
    weights = list(ours.parameters())
    average = ExponentialMovingAverage(weights, 0.9)
    state = State(ours, ELBO(), make(weights), clip_norm=clip_norm, ema=average)
    update = Update(state, weights)
    theirs = list(small().parameters())
    optimizer = make(theirs)
    mean = ExponentialMovingAverage(theirs, 0.9)
    for seed in range(3):
        norm = update(gradients_of(weights, seed))
        for weight, gradient in zip(theirs, gradients_of(theirs, seed), strict=True):
            weight.grad = gradient
        expected = nn.utils.clip_grad_norm_(theirs, clip_norm or float("inf"))
        optimizer.step()
        mean.update()
        torch.testing.assert_close(norm, expected)
    torch.testing.assert_close(weights, theirs)
    torch.testing.assert_close(average.values, mean.values)
    found = state.optimizer.state_dict()["state"]
    torch.testing.assert_close(found, optimizer.state_dict()["state"])
