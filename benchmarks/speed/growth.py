"""The third table: what doubling the rows, the draws or the latent dimensions costs."""

import statistics
from collections.abc import Mapping
from dataclasses import replace

from benchmarks.speed import ours
from benchmarks.speed.clock import Run, ratio, take_turns
from benchmarks.speed.sizes import Size
from pyro_vae import evidence
from pyro_vae.objectives import ELBO

ONCE = "as it is"
ROWS, DRAWS = 50, 1000


def training(size: Size) -> dict[str, Run]:
    """An epoch of the compiled step."""
    sizes = {
        ONCE: size,
        f"rows {size.steps * size.batch_size} → {2 * size.steps * size.batch_size}": replace(
            size, steps=2 * size.steps
        ),
        f"latent_dim {size.latent_dim} → {2 * size.latent_dim}": replace(
            size, latent_dim=2 * size.latent_dim
        ),
    }
    runs = {name: ours.train(one.vae(), "step", one) for name, one in sizes.items()}
    two = ELBO(num_particles=2)
    return {**runs, "num_particles 1 → 2": ours.train(size.vae(), "step", size, two)}


def log_marginal(size: Size) -> dict[str, Run]:
    """Importance sampling."""
    x, vae, wide = size.rows(), size.vae(), replace(size, latent_dim=2 * size.latent_dim).vae()
    return {
        ONCE: lambda: evidence(vae, x[:ROWS], num_particles=DRAWS, method="importance"),
        f"rows {ROWS} → {2 * ROWS}": lambda: evidence(
            vae, x[: 2 * ROWS], num_particles=DRAWS, method="importance"
        ),
        f"latent_dim {size.latent_dim} → {2 * size.latent_dim}": lambda: evidence(
            wide, x[:ROWS], num_particles=DRAWS, method="importance"
        ),
        f"num_particles {DRAWS} → {2 * DRAWS}": lambda: evidence(
            vae, x[:ROWS], num_particles=2 * DRAWS, method="importance"
        ),
    }


def print_growth(size: Size, rounds: int) -> None:
    """Times and ratios."""
    print(f"\ngrowth, {size}\n{'':<42}{'ms':>9}{'ratio':>8}{'quartiles':>13}")
    for title, runs in (("an epoch, compiled", training(size)), ("log p(x)", log_marginal(size))):
        _print(title, runs, rounds)


def _print(title: str, runs: Mapping[str, Run], rounds: int) -> None:
    times, _ = take_turns(runs, rounds)
    for name, taken in times.items():
        print(
            f"{f'{title}, {name}':<42}{1e3 * statistics.median(taken):>9.1f}{ratio(taken, times[ONCE])}",
            flush=True,
        )
