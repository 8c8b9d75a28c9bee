"""What every question about a fitted model starts with, and what its result is made of."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from pyro_vae.arguments import warn_caller
from pyro_vae.given import RowsModel
from pyro_vae.inputs import missing_module, placement_of
from pyro_vae.networks import evaluating
from pyro_vae.networks.evaluation_mode import unvalidated
from pyro_vae.spec import require_fixed_weights
from pyro_vae.spec.label import Label
from pyro_vae.vae import VAE

HIDDEN = (
    "observed cells that are hidden would be read as missing because of their values"
)
HALF_PRECISION = (torch.bfloat16, torch.float16)

Columns = dict[str, np.ndarray]
"""Arrays of a result by name, with one number for each row."""


@contextmanager
def evaluation(vae: VAE) -> Iterator[None]:
    """No gradients, evaluation mode, no validation of densities, no autocast; restored afterwards.

    Of several threads one is inside such a block at a time.
    """
    require_fixed_weights("vae", vae)
    no_autocast = torch.autocast(placement_of(vae).device.type, enabled=False)
    no_validation = unvalidated()
    own_parameters = pyro.settings.context(module_local_params=True)
    with torch.no_grad(), evaluating(vae), own_parameters, no_validation, no_autocast:
        yield


def drawn_rows(vae: VAE, z: Tensor, context: Tensor | None = None) -> Tensor:
    """x ~ p(x | z); where cells may be missing because of their values, such cells are nan.

    Arguments:
        vae: the model, or a model of whole rows.
        z: (n, latent_dim).
        context: of a model of whole rows, (n, C); the rows are then (x, c).
    """
    p: Any = vae.likelihood(z)
    x: Tensor = p.sample() if context is None else p.at(context).sample()
    missing = missing_module(vae)
    if missing is not None:
        x = missing.lacking(x, like=x)
    return x if context is None else torch.cat([x.flatten(1), context], -1)


def require_at_random(vae: VAE, what: str) -> None:
    """Raise ValueError where cells that are hidden would say something by being missing.

    Arguments:
        vae: the model.
        what: hides observed cells, for messages.
    """
    if vae.spec.self_masking is not None:
        raise ValueError(
            f"{what}: expected a model with missing='at_random', since {HIDDEN}, got one with "
            "missing='self_masking'; fit another with missing='at_random' for this"
        )


def as_numpy(tensor: Tensor) -> np.ndarray:
    """A tensor as an array; 16-bit floats become float32, since NumPy has no bfloat16.

    Example:
        >>> as_numpy(torch.ones(2, dtype=torch.bfloat16)).dtype
        dtype('float32')
    """
    wide = tensor.float() if tensor.dtype in HALF_PRECISION else tensor
    array: np.ndarray = wide.detach().cpu().numpy()
    return array


def concatenated(parts: Sequence[Columns]) -> dict[str, Any]:
    """The columns of several groups of rows, one after another.

    Example:
        >>> concatenated([{"se": np.array([0.1])}, {"se": np.array([0.2])}])
        {'se': array([0.1, 0.2])}
    """
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def warn_of_half(vae: VAE, what: str) -> None:
    """Warn where a model's own precision is too low for what is asked of it."""
    dtype = placement_of(vae).dtype
    if dtype in HALF_PRECISION:
        warn_caller(
            f"{what}: the model's numbers are {dtype}, so log p(x) is rounded to about "
            f"{torch.finfo(dtype).eps / 2:.1%} of itself; take vae.float()"
        )


def require_full_precision(vae: VAE, what: str) -> None:
    """Raise ValueError where chains or solvers would run in 16-bit floats, too coarse for steps."""
    dtype = placement_of(vae).dtype
    if dtype in HALF_PRECISION:
        raise ValueError(
            f"{what}: expected a model of float32 or float64 numbers, got {dtype}; take vae.float()"
        )


def has_samples(vae: VAE) -> bool:
    """Whether the prior can be drawn from; a flat one can't."""
    if vae.spec.context is not None and vae.spec.context.prior:
        return True  # a normal
    with evaluation(vae):
        return not isinstance(vae.prior(), dist.ImproperUniform)


def has_density(vae: VAE) -> bool:
    """Whether guide and prior have densities: an autoencoder's point and flat prior have none."""
    placement = placement_of(vae)
    like = torch.zeros((), dtype=placement.dtype, device=placement.device)
    context = None
    if vae.spec.context is not None:
        context = like.new_zeros(1, vae.spec.context.size)
    with evaluation(vae):
        q: Any = vae.guide.q_z(like.new_zeros(1, *vae.spec.data_shape), context)
    while isinstance(q, Independent):
        q = q.base_dist
    return has_samples(vae) and not isinstance(q, dist.Delta)


def require_density(vae: VAE) -> None:
    """Raise ValueError where importance weights don't exist: no density of guide or prior."""
    if not has_density(vae):
        raise ValueError(
            f"vae: guide {vae.spec.guide.kind!r} with prior {vae.spec.prior.kind!r} is an "
            "autoencoder: it gives one code a row and no density over z, so log p(x) does not "
            "exist for it; take guide 'mean_field' and prior 'standard_normal'"
        )


def label_of(vae: VAE) -> Label | None:
    """The label of a model; None where it has none."""
    return None if vae.spec.context is None else vae.spec.context.label


def posterior_of(vae: VAE, rows: Tensor) -> Distribution:
    """q(z | x) with batch shape (n,), also where a user's guide is the same for all rows.

    For a model with a context the rows are (x, c), and it is q(z | x, c).
    """
    seen: Any = vae  # a model, or a model of whole rows
    if isinstance(seen, RowsModel) or vae.spec.context is None:
        q: Distribution = seen.posterior(rows)
    else:
        q = vae.guide.q_z(*vae.model.split(rows))
    return q if q.batch_shape == (len(rows),) else q.expand((len(rows),))
