"""The third table: what doubling the rows, the draws or the latent dimensions costs."""

import statistics
from collections.abc import Mapping
from dataclasses import replace

from benchmarks.speed import ours
from benchmarks.speed.clock import Run, ratio, take_turns
from benchmarks.speed.sizes import Size
from pyro_vae import VAE, evidence
from pyro_vae.objectives import ELBO

ONCE = "as it is"
ROWS = 50
DRAWS = 1000


def doubled(name: str, number: int) -> str:
    """The name of a line: `rows 50 → 100`."""
    return f"{name} {number} → {2 * number}"


def training(size: Size) -> dict[str, Run]:
    """An epoch of the compiled step."""
    rows = doubled("rows", size.steps * size.batch_size)
    latent_dim = doubled("latent_dim", size.latent_dim)
    sizes = {
        ONCE: size,
        rows: replace(size, steps=2 * size.steps),
        latent_dim: replace(size, latent_dim=2 * size.latent_dim),
    }
    runs = {name: ours.train(one.vae(), "step", one) for name, one in sizes.items()}
    two = ELBO(num_particles=2)
    return {**runs, "num_particles 1 → 2": ours.train(size.vae(), "step", size, two)}


def log_marginal(size: Size) -> dict[str, Run]:
    """Importance sampling."""
    x = size.rows()
    vae = size.vae()
    wide = replace(size, latent_dim=2 * size.latent_dim).vae()

    def estimate(vae: VAE, rows: int = ROWS, draws: int = DRAWS) -> Run:
        return lambda: evidence(vae, x[:rows], num_particles=draws, method="importance")

    return {
        ONCE: estimate(vae),
        doubled("rows", ROWS): estimate(vae, rows=2 * ROWS),
        doubled("latent_dim", size.latent_dim): estimate(wide),
        doubled("num_particles", DRAWS): estimate(vae, draws=2 * DRAWS),
    }


def print_growth(size: Size, rounds: int) -> None:
    """Times and ratios."""
    print(f"\ngrowth, {size}\n{'':<42}{'ms':>9}{'ratio':>8}{'quartiles':>13}")
    for title, runs in (
        ("an epoch, compiled", training(size)),
        ("log p(x)", log_marginal(size)),
    ):
        _print(title, runs, rounds)


def _print(title: str, runs: Mapping[str, Run], rounds: int) -> None:
    times, _ = take_turns(runs, rounds)
    for name, seconds in times.items():
        whole_title = f"{title}, {name}"
        milliseconds = 1e3 * statistics.median(seconds)
        print(
            f"{whole_title:<42}{milliseconds:>9.1f}{ratio(seconds, times[ONCE])}",
            flush=True,
        )
