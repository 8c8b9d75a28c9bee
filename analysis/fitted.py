"""What every question about a fitted model starts with: rows that are checked, and a model that is left as it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent
from tqdm import tqdm

from pyro_vae.data import Target, as_rows
from pyro_vae.networks import evaluating
from pyro_vae.training.preparation import inspect, require_precise
from pyro_vae.vae import VAE


@contextmanager
def evaluation(vae: VAE) -> Iterator[None]:
    """No gradients, evaluation mode, no validation of each density; all as before after the block."""
    with torch.no_grad(), evaluating(vae), pyro.validation_enabled(False):
        yield


def target_of(vae: VAE) -> Target:
    """The device and the type of the model's numbers."""
    numbers = (tensor for tensor in (*vae.parameters(), *vae.buffers()) if tensor.is_floating_point())
    first = next(numbers, torch.zeros(()))
    return Target(first.device, first.dtype)


def rows_of(vae: VAE, x: Any, name: str, *, batch_size: int = 256, progress: bool | None = False) -> Iterator[Tensor]:
    """Checked batches of x on the model's device and in its type."""
    rows = as_rows(x, vae.spec.data_shape, target_of(vae), name=name)
    require_precise(vae, rows, name)
    batches = inspect(vae, rows.batches(batch_size), name)
    hidden = None if progress is None else not progress
    with tqdm(total=len(rows), disable=hidden, desc="log p(x)", unit="row", dynamic_ncols=True) as bar:
        for batch in batches:
            yield batch
            bar.update(len(batch))


def has_samples(vae: VAE) -> bool:
    """Whether the prior can be drawn from; a flat one can't."""
    return not isinstance(vae.prior(), dist.ImproperUniform)


def has_density(vae: VAE) -> bool:
    """Whether guide and prior have densities: an autoencoder's point and flat prior have none."""
    target = target_of(vae)
    with evaluation(vae):
        q: Any = vae.posterior(torch.zeros((1, *vae.spec.data_shape), dtype=target.dtype, device=target.device))
    while isinstance(q, Independent):
        q = q.base_dist
    return has_samples(vae) and not isinstance(q, dist.Delta)


def posterior_of(vae: VAE, rows: Tensor) -> Distribution:
    """q(z | x) with one batch element a row, also where a user's guide is the same for all rows."""
    q: Distribution = vae.posterior(rows)
    return q if q.batch_shape == (len(rows),) else q.expand((len(rows),))
