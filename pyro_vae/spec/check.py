"""What a model asks of its three parts: shapes and supports."""

from typing import Any

import pyro
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from pyro_vae.data.supports import describe, with_number_bounds
from pyro_vae.likelihoods import Family
from pyro_vae.networks import Shape, evaluating

ROWS = 2
PROBES = (-3.0, -0.7, 0.0, 0.4, 1.0, 2.5, 4.0)
NAMES = ("prior", "likelihood", "posterior")


def check(
    parts: tuple[nn.Module, nn.Module, nn.Module], data_shape: Shape, latent_dim: int
) -> list[Distribution]:
    """Call each part once on zeros and compare what it gives with the shapes of the model.

    Returns:
        What the parts gave.

    Raises:
        ValueError: naming the part, the expected and the got.
    """
    events = (latent_dim,), data_shape, (latent_dim,)
    inputs: tuple[tuple[Shape, ...], ...] = ((), ((latent_dim,),), (data_shape,))
    found = []
    for name, part, event_shape, shapes in zip(NAMES, parts, events, inputs, strict=True):
        with evaluating(*parts):  # all of them: a prior may call the guide
            got = called(name, part, *(zeros_like(part, shape) for shape in shapes))
        _check_shapes(name, got, event_shape, rows=bool(shapes))
        found.append(got)
    _check_supports(found[0], found[2], zeros_like(parts[2], (latent_dim,)))
    return found


def _check_shapes(name: str, got: Any, event_shape: Shape, rows: bool) -> None:
    if not isinstance(got, Distribution):
        raise ValueError(
            f"{name}: expected a module that returns a Distribution, got {type(got).__name__}"
        )
    if tuple(got.event_shape) != tuple(event_shape):
        raise ValueError(
            f"{name}: expected event shape {tuple(event_shape)}, got {tuple(got.event_shape)} "
            f"(batch shape {tuple(got.batch_shape)}); set its size, or declare event dimensions "
            "with .to_event(k)"
        )
    batch, allowed = tuple(got.batch_shape), ((ROWS,), ()) if rows else ((),)
    if batch not in allowed:
        meaning = (
            f"one distribution for each of {ROWS} rows" if rows else "one distribution for all rows"
        )
        raise ValueError(
            f"{name}: expected batch shape {allowed[0]}, {meaning}, got {batch} (event shape "
            f"{event_shape})"
        )


def _check_supports(prior: Distribution, posterior: Distribution, z: Tensor) -> None:
    """p(z) and q(z | x) live on the same vectors: elsewhere one of them has a density of 0 and the
    other has not.
    """
    supports = [_support(prior), _support(posterior)]
    if any(support is None for support in supports):
        return
    probes = z.new_tensor(PROBES).reshape(-1, 1, 1).expand(-1, 1, z.shape[-1])
    inside = [support.check(probes).reshape(len(PROBES), -1).all(1) for support in supports]
    if torch.equal(*inside):
        return
    where = PROBES[int((inside[0] != inside[1]).nonzero()[0])]
    expected, got = (describe(_of_numbers(support)) for support in supports)
    raise ValueError(
        f"guide: expected the support of the prior, {expected}, got {got}: only one of them allows "
        f"z = {where:g}; change the guide or the prior"
    )


def _support(distribution: Any) -> Any:
    try:
        return distribution.support
    except NotImplementedError:
        return None


def _of_numbers(support: Any) -> Any:
    """The constraint on each element, with numbers for bounds where they are alike everywhere."""
    while type(support) is type(constraints.independent(constraints.real, 1)):
        support = support.base_constraint
    return with_number_bounds(support)


def check_draws(likelihood: nn.Module, latent_dim: int) -> None:
    """Raise ValueError where a likelihood takes rows of z, and not several draws of z for each row."""
    draws = zeros_like(likelihood, (latent_dim,)).repeat(3, 1, 1)
    got, shape = called("likelihood", likelihood, draws).batch_shape, tuple(draws.shape)
    if got not in (draws.shape[:-1], ()):
        raise ValueError(
            f"likelihood: expected batch shape {shape[:-1]} for z of shape {shape}, got "
            f"{tuple(got)}; index and reshape z from its end: z[..., 0]"
        )


def called(name: str, part: nn.Module, *inputs: Tensor, grad: bool = False) -> Any:
    """The output of a part in evaluation mode, which touches neither gradients nor statistics."""
    try:
        with (
            torch.set_grad_enabled(grad),
            evaluating(part),
            pyro.settings.context(module_local_params=True),
        ):
            return part(*inputs)
    except ValueError:
        raise
    except Exception as error:  # whatever a part of somebody's raises
        on = (
            "on zeros of shape " + ", ".join(str(tuple(x.shape)) for x in inputs)
            if inputs
            else "without arguments"
        )
        raise ValueError(f"{name}: failed {on}: {error}") from error


def zeros_like(part: nn.Module, shape: Shape) -> Tensor:
    """Zeros for two rows, on the device and in the dtype of a part."""
    weight = next((p for p in part.parameters() if p.is_floating_point()), torch.zeros(()))
    return torch.zeros((ROWS, *shape), dtype=weight.dtype, device=weight.device)


def data_support(likelihood: nn.Module, latent_dim: int) -> tuple[Any, str]:
    """The values that x may take under p(x | z), and what to do where the data are others.

    A likelihood of the user's is asked for the support of its distribution; one that depends on z
    says nothing.
    """
    family: Any = getattr(likelihood, "family", None)
    if isinstance(family, Family) and hasattr(family, "support"):
        return family.support, getattr(family, "remedy", "")
    z = zeros_like(likelihood, (latent_dim,))
    z[1] = 1.0
    support = _of_numbers(_support(called("likelihood", likelihood, z)) or constraints.real)
    if any(isinstance(bound, Tensor) for bound in vars(support).values()):
        return constraints.real, ""
    return support, "transform the data, or change your own likelihood"
