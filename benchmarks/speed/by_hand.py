"""Plain PyTorch: the unit of the table, and what most people write."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from benchmarks.speed.batches import Batches, by_index, by_loader
from benchmarks.speed.clock import Run
from benchmarks.speed.sizes import Size

UNIT = "hand-written, eager"


def net(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers with tanh between them."""
    layers = [
        layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.Tanh())
    ]
    return nn.Sequential(*layers[:-1])


class HandWritten(nn.Module):
    """x -> the mean of distortion and KL over the rows."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.encoder = net(size.encoder)
        self.decoder = net(size.decoder)

    def forward(self, x: Tensor) -> Tensor:
        loc, raw_scale = self.encoder(x).chunk(2, -1)
        scale = softplus(raw_scale) + 1e-4
        z = loc + scale * torch.randn_like(loc)
        distortion = binary_cross_entropy_with_logits(
            self.decoder(z), x, reduction="none"
        ).sum(-1)
        rate = 0.5 * (scale * scale + loc * loc - 1 - 2 * scale.log()).sum(-1)
        return (distortion + rate).mean()


def train(
    loss: nn.Module, program: Callable[[Tensor], Tensor], batches: Batches
) -> Run:
    """The efficient loop, with fused Adam; `program` computes the loss of the module."""
    optimizer = torch.optim.Adam(loss.parameters(), fused=True)

    def run() -> None:
        for batch in batches():
            value = program(batch)
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            optimizer.step()

    return run


def train_as_most(loss: nn.Module, batches: Batches) -> Run:
    """The loop of most tutorials: Adam as it comes, and the loss as a number after each step."""
    optimizer = torch.optim.Adam(loss.parameters())

    def run() -> float:
        total = 0.0
        for batch in batches():
            optimizer.zero_grad()
            value = loss(batch)
            value.backward()
            optimizer.step()
            total += value.item()
        return total

    return run


def contestants(size: Size) -> dict[str, Run]:
    plain = HandWritten(size)
    compiled = HandWritten(size)
    return {
        UNIT: train(plain, plain, by_index(size)),
        "hand-written, torch.compile": train(
            compiled, torch.compile(compiled), by_index(size)
        ),
        "hand-written, as most people do": train_as_most(
            HandWritten(size), by_loader(size)
        ),
    }
