"""Pyro without us: a model and a guide as in its tutorial, trained by SVI and by ELBOModule."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyro
import torch
from pyro.distributions import Bernoulli, Normal
from pyro.infer import SVI, Trace_ELBO
from torch import Tensor, nn
from torch.nn.functional import softplus

from benchmarks.speed import by_hand
from benchmarks.speed.batches import Batches, by_index, by_loader
from benchmarks.speed.clock import Run
from benchmarks.speed.sizes import Size


class Tutorial(nn.Module):
    """The nets as modules that `pyro.module` registers."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.encoder = by_hand.net(size.encoder)
        self.decoder = by_hand.net(size.decoder)
        self.latent_dim = size.latent_dim

    def model(self, x: Tensor) -> None:
        pyro.module("decoder", self.decoder)
        with pyro.plate("data", len(x)):
            loc = x.new_zeros(len(x), self.latent_dim)
            z = pyro.sample("z", Normal(loc, torch.ones_like(loc)).to_event(1))
            pyro.sample("x", Bernoulli(logits=self.decoder(z)).to_event(1), obs=x)

    def guide(self, x: Tensor) -> None:
        pyro.module("encoder", self.encoder)
        with pyro.plate("data", len(x)):
            loc, raw_scale = self.encoder(x).chunk(2, -1)
            pyro.sample("z", Normal(loc, softplus(raw_scale) + 1e-4).to_event(1))


@contextmanager
def own_parameters(state: dict[str, Any]) -> Iterator[None]:
    """A parameter store of this contestant's own; an empty `state` begins anew."""
    with pyro.get_param_store().scope(
        state or {"params": {}, "constraints": {}}
    ) as changed:
        yield
    state.update(changed)


def by_svi(size: Size, batches: Batches) -> Run:
    """The loop of the tutorial."""
    program = Tutorial(size)
    state: dict[str, Any] = {}
    svi = SVI(program.model, program.guide, pyro.optim.Adam({"lr": 1e-3}), Trace_ELBO())

    def run() -> float:
        with own_parameters(state):
            return sum(svi.step(batch) for batch in batches())

    return run


def contestants(size: Size) -> dict[str, Run]:
    own = size.vae()
    elbo: Any = Trace_ELBO()(own.model, own.guide)
    return {
        "Pyro, SVI": by_svi(size, by_index(size)),
        "Pyro, SVI with DataLoader": by_svi(size, by_loader(size)),
        "Pyro, ELBOModule of our model and guide": by_hand.train(
            elbo, elbo, by_index(size)
        ),
    }
