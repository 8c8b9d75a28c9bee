"""Codes, reconstructions and rates of many rows by several processes, each of which has a part."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from pyro_vae.analysis.fitted import evaluation, posterior_of
from pyro_vae.analysis.latent.codes import Codes, encode, rate, reconstruct
from pyro_vae.data import ArrayRows, DatasetRows
from pyro_vae.distributed.collectives import gathered
from pyro_vae.distributed.process_group import rank, world_size
from pyro_vae.given import with_context
from pyro_vae.inputs import model_rows
from pyro_vae.objectives import analytic_kl
from pyro_vae.vae import VAE

Arrays = tuple[np.ndarray, ...]


def sharded_encode(vae: VAE, x: Any) -> Codes:
    """`encode` by all processes, each of which gets the whole result, without labels.

    Example:
        >>> sharded_encode(VAE(data_shape=(4,), latent_dim=2), torch.zeros(3, 4)).loc.shape
        (3, 2)
    """

    def codes(part: Any) -> Arrays:
        found = encode(vae, part)
        return found.loc, found.scale

    loc, scale = _by_parts(codes, vae, x)
    return Codes(loc, scale)


def sharded_reconstruct(vae: VAE, x: Any) -> np.ndarray:
    """`reconstruct` as an array by all processes, each of which gets the whole result.

    Example:
        >>> sharded_reconstruct(VAE(data_shape=(4,), latent_dim=2), torch.zeros(3, 4)).shape
        (3, 4)
    """
    (means,) = _by_parts(lambda part: (reconstruct(vae, part, as_array=True),), vae, x)
    return means


def sharded_rate(vae: VAE, x: Any) -> np.ndarray:
    """`rate` by all processes, each of which gets the whole result.

    Where it is drawn, each computes all rows, so that the numbers are those of one process.

    Example:
        >>> sharded_rate(VAE(data_shape=(4,), latent_dim=2), torch.zeros(3, 4)).shape
        (3,)
    """
    rows = with_context(vae, model_rows(vae, x))
    with evaluation(vae):
        first = next(rows.batches(1))
        q = posterior_of(vae, first)
        p = vae.model.p_z(vae.model.split(first)[1])
        is_drawn = analytic_kl(q, p.expand(q.batch_shape)) is None
    if is_drawn or isinstance(x, DataLoader):
        return rate(vae, rows)
    (rates,) = _by_parts(lambda part: (rate(vae, part),), vae, rows)
    return rates


def _by_parts(function: Callable[[Any], Arrays], vae: VAE, x: Any) -> Arrays:
    """The arrays of all rows, from those of the parts of the processes."""
    rows = model_rows(vae, x)
    # the order of a loader may be another one in each process
    is_whole = world_size() == 1 or isinstance(x, DataLoader)
    if is_whole or not isinstance(rows, ArrayRows | DatasetRows):
        return function(rows)
    own = torch.arange(len(rows)).tensor_split(world_size())[rank()]
    # with fewer rows than processes, some processes have none
    part = function(rows.select(own)) if len(own) else None
    parts = [part for part in gathered(part) if part is not None]
    return tuple(map(np.concatenate, zip(*parts, strict=True)))
