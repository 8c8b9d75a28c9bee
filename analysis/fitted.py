"""What every question about a fitted model starts with: rows that are checked, and a model that is
left as it was.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from pyro_vae.inputs import placement_of
from pyro_vae.networks import evaluating
from pyro_vae.spec import require_fixed_weights
from pyro_vae.vae import VAE

HALF = (torch.bfloat16, torch.float16)


@contextmanager
def evaluation(vae: VAE) -> Iterator[None]:
    """No gradients, evaluation mode, no validation of each density, no autocast; all as before
    after the block.

    Of several threads one is inside such a block at a time.
    """
    require_fixed_weights("vae", vae)
    full_precision = torch.autocast(placement_of(vae).device.type, enabled=False)
    local = pyro.settings.context(module_local_params=True)
    with torch.no_grad(), evaluating(vae), local, pyro.validation_enabled(False), full_precision:
        yield


def as_numpy(tensor: Tensor) -> np.ndarray:
    """A tensor as an array: the 16-bit numbers of a cast model as float32, since NumPy has no
    bfloat16.

    Example:
        >>> as_numpy(torch.ones(2, dtype=torch.bfloat16)).dtype
        dtype('float32')
    """
    wide = tensor.float() if tensor.dtype in HALF else tensor
    array: np.ndarray = wide.detach().cpu().numpy()
    return array


def warn_of_half(vae: VAE, what: str) -> None:
    """Warn where a number is asked of a model whose own numbers are too short for it."""
    dtype = placement_of(vae).dtype
    if dtype in HALF:
        warnings.warn(
            f"{what}: the model's numbers are {dtype}, so log p(x) is rounded to about "
            f"{torch.finfo(dtype).eps / 2:.1%} of itself; take vae.float()",
            stacklevel=4,
        )


def require_full_precision(vae: VAE, what: str) -> None:
    """Raise ValueError where chains or solvers would run in 16-bit numbers, in which their steps
    are lost.
    """
    dtype = placement_of(vae).dtype
    if dtype in HALF:
        raise ValueError(
            f"{what}: expected a model of float32 or float64 numbers, got {dtype}; take vae.float()"
        )


def has_samples(vae: VAE) -> bool:
    """Whether the prior can be drawn from; a flat one can't."""
    with evaluation(vae):
        return not isinstance(vae.prior(), dist.ImproperUniform)


def has_density(vae: VAE) -> bool:
    """Whether guide and prior have densities: an autoencoder's point and flat prior have none."""
    placement = placement_of(vae)
    with evaluation(vae):
        q: Any = vae.posterior(
            torch.zeros((1, *vae.spec.data_shape), dtype=placement.dtype, device=placement.device)
        )
    while isinstance(q, Independent):
        q = q.base_dist
    return has_samples(vae) and not isinstance(q, dist.Delta)


def require_density(vae: VAE) -> None:
    """Raise ValueError where importance weights don't exist: a point as guide, a prior without a
    density.
    """
    if not has_density(vae):
        raise ValueError(
            f"vae: guide {vae.spec.guide.kind!r} with prior {vae.spec.prior.kind!r} is an "
            "autoencoder: it gives one code a row and no density over z, so log p(x) does not "
            "exist for it; take guide 'mean_field' and prior 'standard_normal'"
        )


def posterior_of(vae: VAE, rows: Tensor) -> Distribution:
    """q(z | x) with one batch element a row, also where a user's guide is the same for all rows."""
    q: Distribution = vae.posterior(rows)
    return q if q.batch_shape == (len(rows),) else q.expand((len(rows),))
