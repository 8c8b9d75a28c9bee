"""What the arguments of `evidence` may be."""

from typing import Literal, get_args

from pyro_vae.analysis.marginal_likelihood.pareto import FEWEST_DRAWS
from pyro_vae.analysis.marginal_likelihood.proposals import Named
from pyro_vae.analysis.marginal_likelihood.until import Until

__all__ = ["Compile", "Method", "check_arguments"]

Compile = Literal["auto", "on", "off"]
Method = Literal["auto", "importance"]


def check_arguments(
    num_particles: int,
    chunk_size: int | None,
    until: Until | None,
    retry: Named | None,
    compile: Compile,
    method: Method,
) -> None:
    """Raise ValueError for arguments of `evidence` that are out of range or exclude each other."""
    if num_particles < 1:
        raise ValueError(f"num_particles: expected at least 1, got {num_particles}")
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"chunk_size: expected at least 1, or None, got {chunk_size}")
    if until is not None and until.max_particles < num_particles:
        raise ValueError(
            f"until.max_particles: expected at least num_particles = {num_particles}, got "
            f"{until.max_particles}; raise the cap, or lower num_particles"
        )
    if retry is not None and num_particles < FEWEST_DRAWS:
        raise ValueError(
            f"num_particles: expected at least {FEWEST_DRAWS} with retry=, got {num_particles}: "
            "fewer have no k-hat, which decides the rows to retry"
        )
    if method not in get_args(Method):
        raise ValueError(f"method: expected 'auto' or 'importance', got {method!r}")
    if compile not in get_args(Compile):
        raise ValueError(f"compile: expected 'auto', 'on' or 'off', got {compile!r}")
