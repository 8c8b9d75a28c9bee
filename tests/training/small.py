"""What the tests of training share: a small model, its rows, and observers that look on while it
trains.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.objectives import ELBO, Terms
from pyro_vae.vae import VAE

X = (
    np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    @ np.diag([1, 2, 3, 4]).astype(np.float32)
    + 1
)
BITS = (X > 1).astype(np.float32)
Weights = dict[str, Tensor]


def small(**fields: Any) -> VAE:
    """A model of a few dozen weights."""
    return VAE(**{"data_shape": (4,), "latent_dim": 2, "hidden_dims": (8,), **fields})


def weights(vae: torch.nn.Module) -> Weights:
    """A copy of every parameter and buffer."""
    return {name: value.detach().clone() for name, value in vae.state_dict().items()}


def same(one: Weights, other: Weights) -> bool:
    """Whether all of them agree to the last bit."""
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and torch.equal(one[name], other[name])
        for name in one
    )


def without_clock(history: list[dict[str, float]]) -> list[dict[str, float]]:
    """A history without the seconds, which no two runs share."""
    return [
        {name: value for name, value in row.items() if name != "seconds"}
        for row in history
    ]


class Watch:
    """The ELBO; each call is noted, and `react` may change its terms or raise.

    `train` and `valid` hold (rows, mean rate, mean distortion) for each call of their kind; the
    look at the first rows before training is in neither.
    """

    def __init__(
        self, vae: VAE, react: Callable[["Watch", Terms], Terms] | None = None
    ) -> None:
        self.vae, self.react = vae, react
        self.train: list[tuple[int, float, float]] = []
        self.valid: list[tuple[int, float, float]] = []
        self.train_rows: list[Tensor] = []
        self.valid_rows: list[Tensor] = []
        self.looks = 0

    def __call__(self, model: Any, guide: Any, x: Tensor, beta: float = 1.0) -> Terms:
        terms = ELBO()(model, guide, x, beta)
        if not torch.is_grad_enabled() and not self.train:
            self.looks += 1
            return terms
        assert torch.is_grad_enabled() == self.vae.training
        rate = float(terms.rate.detach().mean())
        distortion = float(terms.distortion.detach().mean())
        calls = self.train if self.vae.training else self.valid
        calls.append((len(x), rate, distortion))
        rows = self.train_rows if self.vae.training else self.valid_rows
        rows.append(x.detach().clone())
        return self.react(self, terms) if self.react else terms


def watched(
    kind: type[torch.optim.Optimizer], steps: list[dict[str, Any]], **options: Any
) -> Callable[..., Any]:
    """A function that makes an optimizer, which notes rates, gradient norm and weights."""

    class Watched(kind):  # type: ignore[misc, valid-type]
        def step(self, closure: Any = None) -> Any:
            parameters = [p for group in self.param_groups for p in group["params"]]
            norm = torch.cat(
                [p.grad.flatten() for p in parameters if p.grad is not None]
            ).norm()
            done = super().step(closure)
            after = [p.detach().clone() for p in parameters]
            steps.append(
                {
                    "lr": [g["lr"] for g in self.param_groups],
                    "norm": float(norm),
                    "after": after,
                }
            )
            return done

    def make(parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        return Watched(parameters, **options)

    return make
