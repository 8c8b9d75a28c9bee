"""What a model requires of its three parts: shapes and supports."""

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
    parts: tuple[nn.Module, nn.Module, nn.Module],
    inputs: tuple[tuple[Shape, ...], ...],
    events: tuple[Shape, ...],
) -> list[Distribution]:
    """Call each part once on zeros and compare what it returns with the shapes of the model.

    Arguments:
        parts: prior, likelihood and posterior.
        inputs: the shapes of what each of them takes, for one row.
        events: the event shape of what each of them gives.

    Returns:
        The distributions that the parts return.

    Raises:
        ValueError: naming the part, the expected and the got.
    """
    distributions = []
    for name, part, event_shape, shapes in zip(
        NAMES, parts, events, inputs, strict=True
    ):
        zeros = [zeros_like(part, shape) for shape in shapes]
        with evaluating(*parts):  # all of them: a prior may call the guide
            distribution = called(name, part, *zeros)
        _check_shapes(name, distribution, event_shape, rows=bool(shapes))
        distributions.append(distribution)
    prior, _, posterior = distributions
    _check_supports(prior, posterior, zeros_like(parts[2], events[2]))
    return distributions


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
    batch = tuple(got.batch_shape)
    expected = "(), one distribution for all rows"
    allowed: list[Shape] = [()]
    if rows:
        expected = f"({ROWS},), one distribution for each of {ROWS} rows"
        allowed.append((ROWS,))
    if batch not in allowed:
        raise ValueError(
            f"{name}: expected batch shape {expected}, got {batch} (event shape {event_shape})"
        )


def _check_supports(prior: Distribution, posterior: Distribution, z: Tensor) -> None:
    """Raise ValueError unless p(z) and q(z | x) have the same support.

    Outside the smaller one, one density is 0 and the other is not.
    """
    of_prior = _support(prior)
    of_posterior = _support(posterior)
    if of_prior is None or of_posterior is None:
        return
    probes = z.new_tensor(PROBES).reshape(-1, 1, 1).expand(-1, 1, z.shape[-1])
    in_prior = of_prior.check(probes).reshape(len(PROBES), -1).all(1)
    in_posterior = of_posterior.check(probes).reshape(len(PROBES), -1).all(1)
    if torch.equal(in_prior, in_posterior):
        return
    example = PROBES[int((in_prior != in_posterior).nonzero()[0])]
    expected = describe(_of_numbers(of_prior))
    got = describe(_of_numbers(of_posterior))
    raise ValueError(
        f"guide: expected the support of the prior, {expected}, got {got}: only one of them allows "
        f"z = {example:g}; change the guide or the prior"
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


def check_draws(likelihood: nn.Module, inputs: int) -> None:
    """Raise ValueError where a likelihood doesn't take several draws of z for each row."""
    draws = zeros_like(likelihood, (inputs,)).repeat(3, 1, 1)
    shape = tuple(draws.shape)
    got = called("likelihood", likelihood, draws).batch_shape
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
    except Exception as error:  # a user's part may raise anything
        arguments = "without arguments"
        if inputs:
            shapes = ", ".join(str(tuple(x.shape)) for x in inputs)
            arguments = f"on zeros of shape {shapes}"
        raise ValueError(f"{name}: failed {arguments}: {error}") from error


def zeros_like(part: nn.Module, shape: Shape) -> Tensor:
    """Zeros for two rows, on the device and in the dtype of a part."""
    weight = next(
        (p for p in part.parameters() if p.is_floating_point()), torch.zeros(())
    )
    return torch.zeros((ROWS, *shape), dtype=weight.dtype, device=weight.device)


def data_support(likelihood: nn.Module, inputs: int) -> tuple[Any, str]:
    """The support of p(x | z), and what to do about data outside it.

    A user's own likelihood is called for the support of its distribution. A support that depends on
    z is not checked.

    Arguments:
        likelihood: of the model.
        inputs: how many numbers it takes of a row, `Spec.decoder_inputs`.
    """
    family: Any = getattr(likelihood, "family", None)
    if isinstance(family, Family) and hasattr(family, "support"):
        return family.support, getattr(family, "remedy", "")
    z = zeros_like(likelihood, (inputs,))
    z[1] = 1.0
    support = _of_numbers(
        _support(called("likelihood", likelihood, z)) or constraints.real
    )
    if any(isinstance(bound, Tensor) for bound in vars(support).values()):
        return constraints.real, ""
    return support, "transform the data, or change your own likelihood"
