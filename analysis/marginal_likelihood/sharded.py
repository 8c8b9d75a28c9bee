"""log p(x) of many rows by several processes, each of which takes its share of the rows."""

from dataclasses import fields
from typing import Any

import numpy as np

from pyro_vae.analysis.marginal_likelihood.importance_sampling import evidence
from pyro_vae.analysis.marginal_likelihood.results import Evidence
from pyro_vae.distributed.process_group import gathered, is_first, rank, world_size
from pyro_vae.vae import VAE


def sharded_evidence(vae: VAE, x: np.ndarray, **how: Any) -> Evidence:
    """`evidence` of the rows x: process r of W estimates rows r, r + W, r + 2W, ..., and each is
    given all of them.

    The draws of a row depend on the row alone, so its numbers are those of one process, up to
    rounding. Every process of the group calls it, with the same model and rows; a process alone
    does all rows.

    Arguments:
        vae: a model whose guide and prior have densities.
        x: rows shaped (n, *data_shape).
        **how: further arguments of `evidence`.

    Raises:
        ValueError: as `evidence`; the other processes learn of it when this one leaves the group.

    Example:
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> sharded_evidence(vae, np.zeros((3, 4)), num_particles=10).log_marginal.shape
        (3,)
    """
    world = min(world_size(), len(x))
    if world <= 1:
        return evidence(vae, x, **how)
    if not is_first():
        how["progress"] = False
    own = evidence(vae, x[rank() :: world], **how) if rank() < world else None
    return _interleaved([part for part in gathered(own) if part is not None])


def _interleaved(parts: list[Evidence]) -> Evidence:
    """Row i of the whole is row i // W of part i % W."""
    whole: dict[str, Any] = {}
    for name in (field.name for field in fields(Evidence)):
        columns = [getattr(part, name) for part in parts]
        whole[name] = columns[0]
        if isinstance(columns[0], np.ndarray):
            whole[name] = np.empty(sum(map(len, columns)), np.result_type(*columns))
            for number, column in enumerate(columns):
                whole[name][number :: len(parts)] = column
    return Evidence(**whole)
