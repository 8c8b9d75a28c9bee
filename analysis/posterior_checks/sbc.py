"""Simulation-based calibration: is q(z | x) the posterior, on rows that the model itself draws?"""

from typing import Any

import torch
from torch import Tensor

from pyro_vae.analysis.fitted import (
    as_numpy,
    evaluation,
    posterior_of,
    require_density,
    warn_of_half,
)
from pyro_vae.analysis.marginal_likelihood.log_joint import log_joint
from pyro_vae.analysis.posterior_checks.sbc_results import Calibration
from pyro_vae.analysis.posterior_checks.simulated import contexts_to_draw, simulated
from pyro_vae.arguments import public
from pyro_vae.given import of_rows
from pyro_vae.inputs import placement_of
from pyro_vae.progress_bar import progress_bar
from pyro_vae.rng import own_seed
from pyro_vae.vae import VAE

CHUNK = 10_000
"""Pairs of a row and a draw that are decoded at once."""


@public
def calibration(
    vae: VAE,
    *,
    context: Any = None,
    num_rows: int = 1000,
    num_samples: int = 99,
    resample: int | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> Calibration:
    """Simulation-based calibration: ranks of the true z among draws of q(z | x), without refits.

    z ~ p(z),  x ~ p(x | z),  z₁, ..., z_L ~ q(z | x);  rank_d = #{l: z_{l,d} < z_d} is uniform on
    0, ..., L if q(z | x) = p(z | x), for each dimension d.

    With `resample=M` the L draws are picked, with replacement, out of M proposals of the guide with
    probabilities proportional to p(x, z) / q(z | x): what is left of the miscalibration is what
    importance sampling does not repair. The same seed simulates the same rows, so call it with and
    without. M of 10 L or more keeps copies few.

    Uniform ranks are necessary, not sufficient: the guide is judged on rows of the model, on
    average over p(x).

    References:
        Validating Bayesian Inference Algorithms with Simulation-Based Calibration (Talts,
        Betancourt, Simpson, Vehtari, Gelman, 2018).
        Simulation-Based Calibration Checking for Bayesian Computation: The Choice of Test
        Quantities Shapes Sensitivity (Modrák, Moon, Kim, Bürkner, Huurre, Faltejsková, Gelman,
        Vehtari, 2023), for log p(x, z).

    Arguments:
        vae: a model whose guide and prior have densities.
        context: of a model that has one: contexts that rows are simulated for, one after another
            and over again, (m, C) or a DataFrame; or a dict by name of a value for all rows. An
            unknown label is drawn from p(y).
        num_rows: simulated rows; 1000 are enough to see a width that is wrong by 10 %.
        num_samples: L, draws of q(z | x) for each row.
        resample: M, proposals of each row for importance resampling; None for none.
        seed: of everything that is drawn.
        progress: whether to show a bar; None shows it on a terminal or in a notebook.

    Returns:
        `Calibration`; print it.

    Raises:
        ValueError: no rows or draws, fewer proposals than draws, an autoencoder, a density that is
            nan.

    Example:
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> found = calibration(vae, num_rows=20, num_samples=9)
        >>> found.rank.shape, found.p_values.shape
        ((20, 2), (2,))
    """
    _check(num_rows, num_samples, resample)
    require_density(vae)
    warn_of_half(vae, "calibration")
    contexts = contexts_to_draw(vae, context, num_rows)
    together = max(1, CHUNK // (resample or num_samples))
    parts: list[Tensor] = []
    with (
        evaluation(vae),
        own_seed(seed, placement_of(vae).device),
        progress_bar(progress, total=num_rows, desc="calibration", unit="row") as bar,
    ):
        # all rows are drawn first, so that the same seed gives the same rows with other draws
        seen = of_rows(vae)
        z, x = simulated(seen, num_rows, contexts)
        for some_z, some_x in zip(z.split(together), x.split(together), strict=True):
            parts.append(_pit_of_rows(seen, some_z, some_x, num_samples, resample))
            bar.update(len(some_z))
    pit = as_numpy(torch.cat(parts))
    return Calibration(pit[:, :-1], pit[:, -1], num_samples, resample)


def _check(num_rows: int, num_samples: int, resample: int | None) -> None:
    if num_rows < 1 or num_samples < 1:
        raise ValueError(
            f"num_rows, num_samples: expected at least 1, got {num_rows}, {num_samples}"
        )
    if resample is not None and resample < num_samples:
        raise ValueError(
            f"resample: expected at least num_samples = {num_samples} proposals, got {resample}; "
            f"take resample={10 * num_samples} or more, or a smaller num_samples"
        )


def _pit_of_rows(
    vae: VAE, z: Tensor, x: Tensor, num_samples: int, resample: int | None
) -> Tensor:
    """The pit of z and, last, of log p(x, z) for rows x from p(x | z), (n, latent_dim + 1)."""
    truth = torch.cat([z, log_joint(vae, x, z).unsqueeze(-1)], -1)
    q = posterior_of(vae, x)
    proposals = q.sample(torch.Size([resample or num_samples]))
    together = max(1, CHUNK // len(x))
    log_p = torch.cat([log_joint(vae, x, some) for some in proposals.split(together)])
    drawn = torch.cat([proposals, log_p.unsqueeze(-1)], -1)
    if truth.isnan().any() or drawn.isnan().any():
        raise ValueError(
            "calibration: z or log p(x, z) is nan on rows drawn from the model; expected numbers; "
            "the parameters may have diverged while training, or p(x | z) draws values outside its "
            "support"
        )
    if resample:
        log_weights = log_p - q.log_prob(proposals)
        drawn = _resampled(drawn, log_weights, num_samples)
    return _pit(truth, drawn)


def _resampled(proposals: Tensor, log_weights: Tensor, num_samples: int) -> Tensor:
    """Proposals (M, rows, ...) picked with replacement, in proportion to weights (M, rows)."""
    weights = log_weights.double().softmax(0)
    picked = torch.multinomial(weights.T, num_samples, replacement=True).T
    return proposals.take_along_dim(picked.unsqueeze(-1), 0)


def _pit(truth: Tensor, drawn: Tensor) -> Tensor:
    """(#{draws < truth} + u (#{draws = truth} + 1)) / (draws + 1) with u ~ U(0, 1), in float64."""
    # the truth may be anywhere among its ties, and the pit anywhere between two ranks
    below = (drawn < truth).sum(0)
    ties = (drawn == truth).sum(0)
    u = torch.rand_like(truth, dtype=torch.float64)
    return (below + u * (ties + 1)) / (len(drawn) + 1)
