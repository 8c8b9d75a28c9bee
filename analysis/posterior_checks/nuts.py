"""Audit by NUTS: the guide's posterior of single rows compared with draws of Markov chains."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pyro
import torch
from pyro.infer import MCMC, NUTS
from pyro.infer.autoguide import init_to_sample
from torch import Tensor
from torch.distributions import biject_to

from pyro_vae.analysis.bridge.arviz_objects import installed_arviz
from pyro_vae.analysis.fitted import (
    evaluation,
    posterior_of,
    require_density,
    require_full_precision,
)
from pyro_vae.analysis.marginal_likelihood.log_joint import log_joint
from pyro_vae.analysis.marginal_likelihood.pareto import pareto_k, tail_length
from pyro_vae.analysis.posterior_checks.moments import (
    Difference,
    Moments,
    labelled,
    sd_error,
    stacked,
    weighted_moments,
)
from pyro_vae.analysis.posterior_checks.nuts_results import Audit
from pyro_vae.arguments import public
from pyro_vae.data.row_labels import row_labels
from pyro_vae.given import RowsModel, of_rows, with_context
from pyro_vae.inputs import model_rows, rows_of
from pyro_vae.progress_bar import progress_bar
from pyro_vae.rng import own_seed, row_seed
from pyro_vae.spec import support_of
from pyro_vae.vae import VAE

CHUNK = 1000
"""Draws of the guide that are decoded at once."""


@public
def audit(
    vae: VAE,
    x: Any,
    *,
    context: Any = None,
    num_chains: int = 4,
    num_samples: int = 500,
    warmup_steps: int = 500,
    num_particles: int = 2000,
    max_rows: int = 10,
    seed: int = 0,
    progress: bool | None = None,
) -> Audit:
    """Compare the guide with draws from p(z | x) of single rows, by NUTS on `vae.model`.

    shift = (E_q[z_d] - E_NUTS[z_d]) / sd_NUTS[z_d]        ratio = sd_q[z_d] / sd_NUTS[z_d]

    The same for the guide's draws under their importance weights p(x, z) / q(z | x). The chains
    start from the prior and run one after the other; the parameters stay as they are. Chains that
    all miss a mode agree with each other: R-hat can't see what no chain has found. A transition
    takes about 10 ms for a small decoder. With a context whose prior is N(μ(c), diag σ(c)²), z is
    u = (z - μ(c)) / σ(c) ~ N(0, I); an unknown label is the most probable one.

    References:
        The No-U-Turn Sampler: Adaptively Setting Path Lengths in Hamiltonian Monte Carlo (Hoffman,
        Gelman, 2014). Rank-Normalization, Folding, and Localization: An Improved R-hat for
        Assessing Convergence of MCMC (Vehtari, Gelman, Simpson, Carpenter, Bürkner, 2021).

    Arguments:
        vae: a model whose guide and prior have densities.
        x: a few rows shaped (n, *data_shape).
        context: of a model that has one, what is given with each row: an array (n, C), or a
            DataFrame; None finds its columns in the table x.
        num_chains: at least 2, for R-hat.
        num_samples: draws of each chain after warm-up, at least 4.
        warmup_steps: transitions of each chain that adapt step size and mass matrix, and are
            dropped.
        num_particles: draws of the guide.
        max_rows: the most rows that are taken: each costs num_chains * (num_samples + warmup_steps)
            transitions.
        seed: of all draws. The numbers of a row don't depend on the rows beside it.
        progress: whether to show a bar; None shows it on a terminal or in a notebook.

    Returns:
        `Audit`; print it.

    Raises:
        ValueError: no rows, more than `max_rows`, too few chains or draws, rows that don't fit the
            model, an autoencoder.

    Example:
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> short = {"num_chains": 2, "num_samples": 4, "warmup_steps": 4}
        >>> found = audit(vae, torch.zeros(1, 4), **short)
        >>> found.z.shape, found.guide.shift.shape
        ((2, 4, 1, 2), (1, 2))
    """
    _check(num_chains, num_samples, warmup_steps, num_particles)
    require_full_precision(vae, "audit")
    require_density(vae)
    steps = num_chains * (num_samples + warmup_steps)
    whole = with_context(vae, x, context)
    _require_few(len(model_rows(vae, whole)), max_rows, steps)
    batches = rows_of(vae, whole, "x", batch_size=1)
    seen = of_rows(vae)
    rows = [
        row for batch in batches for row in batch.split(1)
    ]  # a DataLoader has its own size
    runs: list[list[_Chain]] = []
    with (
        evaluation(vae),
        frozen(vae),
        progress_bar(
            progress, total=len(rows) * steps, desc="NUTS", unit="step"
        ) as bar,
    ):
        for row in rows:
            seeds = [row_seed(row, f"{seed} {chain}") for chain in range(num_chains)]
            how = (num_samples, warmup_steps, bar.update)
            runs.append([_chain(seen, row, one, *how) for one in seeds])
        proposals = [
            _guide(seen, row, row_seed(row, f"{seed} guide"), num_particles)
            for row in rows
        ]
    found = _compare(runs, proposals, warmup_steps)
    return replace(found, row_labels=row_labels(x, vae.spec.table))


@contextmanager
def frozen(vae: VAE) -> Iterator[None]:
    """No parameter requires a gradient inside the block; after it each does as before."""
    before = {parameter: parameter.requires_grad for parameter in vae.parameters()}
    vae.requires_grad_(False)  # NUTS differentiates by z only
    try:
        yield
    finally:
        for parameter, requires_grad in before.items():
            parameter.requires_grad_(requires_grad)


def _check(
    num_chains: int, num_samples: int, warmup_steps: int, num_particles: int
) -> None:
    got = {
        "num_chains": (num_chains, 2),
        "num_samples": (num_samples, 4),
        "warmup_steps": (warmup_steps, 1),
        "num_particles": (num_particles, 2),
    }
    for name, (value, fewest) in got.items():
        if value < fewest:
            raise ValueError(f"{name}: expected at least {fewest}, got {value}")


def _require_few(rows: int, max_rows: int, steps: int) -> None:
    if rows > max_rows:
        raise ValueError(
            f"audit: expected at most max_rows = {max_rows} rows, got {rows}; each takes {steps:,} "
            f"NUTS transitions, some {steps / 100:,.0f} s, {rows * steps:,} in all; pass fewer "
            f"rows (x[:{max_rows}]) or raise max_rows"
        )


class _Kernel(NUTS):
    """NUTS whose energy has the type of z.

    Its momenta take the type of the energy, which of counts is float64 also where z is float32.
    """

    def _initialize_model_properties(self, args: Any, kwargs: Any) -> None:
        super()._initialize_model_properties(args, kwargs)  # type: ignore[no-untyped-call]
        energy = self.potential_fn
        self.potential_fn = lambda z: energy(z).to(z["z"].dtype)


class _Chain(NamedTuple):
    """One chain for one row: draws, (draw, latent), and which of them diverged, (draw,)."""

    z: np.ndarray
    diverging: np.ndarray


def _chain(
    vae: VAE,
    row: Tensor,
    seed: int,
    num_samples: int,
    warmup_steps: int,
    advance: Callable[[int], Any],
) -> _Chain:
    # NUTS moves in real vectors, whatever the support of the prior
    transform = biject_to(support_of(vae.prior())).inv
    options = {"init_strategy": init_to_sample, "transforms": {"z": transform}}
    kernel = _Kernel(_program(vae), **options)  # type: ignore[no-untyped-call]
    mcmc = MCMC(
        kernel,
        num_samples,
        warmup_steps,
        disable_progbar=True,
        hook_fn=lambda *_: advance(1),
    )
    local = pyro.settings.context(module_local_params=True)
    with local, own_seed(seed, row.device), torch.enable_grad():
        mcmc.run(row)
    z: Tensor = mcmc.get_samples()["z"][:, 0]
    diverging = np.zeros(num_samples, bool)
    diverging[mcmc.diagnostics()["divergences"]["chain 0"]] = True
    return _Chain(z.cpu().numpy(), diverging)


def _program(seen: Any) -> Callable[..., Any]:
    """The model as a program of rows; of whole rows (x, c) one with the site "z" that is u."""
    if not isinstance(seen, RowsModel):
        program: Callable[..., Any] = seen.model
        return program

    def given(rows: Tensor) -> None:
        with pyro.plate("data", len(rows)):
            u = pyro.sample("z", seen.prior())
            pyro.factor("x", seen.likelihood(u).log_prob(rows))

    return given


class _Proposals(NamedTuple):
    """Draws of the guide for one row, (draw, latent), and their log weights, (draw,): float64."""

    z: Tensor
    log_weights: Tensor


def _guide(vae: VAE, row: Tensor, seed: int, num_particles: int) -> _Proposals:
    q = posterior_of(vae, row)
    with own_seed(seed, row.device):
        z = q.sample(torch.Size([num_particles]))
    log_p = torch.cat([log_joint(vae, row, some) for some in z.split(CHUNK)])
    log_weights = log_p - q.log_prob(z)
    return _Proposals(z[:, 0].double().cpu(), log_weights[:, 0].double().cpu())


def _compare(
    runs: list[list[_Chain]], proposals: list[_Proposals], warmup_steps: int
) -> Audit:
    """The draws of all chains of each row, and the guide compared with them."""
    z = np.stack([np.stack([chain.z for chain in run]) for run in runs], 2)
    diverging = np.stack(
        [np.stack([chain.diverging for chain in run]) for run in runs], 2
    )
    arviz = installed_arviz()
    draws = labelled(z)
    nuts = Moments(
        mean=z.mean((0, 1), dtype=float),
        mean_se=np.asarray(arviz.mcse(draws, method="mean")["z"]),
        sd=z.std((0, 1), dtype=float),
        sd_se=sd_error(z),
    )
    plain = [
        weighted_moments(one.z, torch.zeros_like(one.log_weights)) for one in proposals
    ]
    weighted = [weighted_moments(one.z, one.log_weights) for one in proposals]
    return Audit(
        z=z,
        r_hat=np.asarray(arviz.rhat(draws)["z"]),
        ess=np.asarray(arviz.ess(draws)["z"]),
        divergences=diverging.sum((0, 1)),
        pareto_k=np.array([_pareto_k(one.log_weights) for one in proposals]),
        num_particles=len(proposals[0].log_weights),
        nuts=nuts,
        guide=Difference.between(stacked(plain), nuts),
        resampled=Difference.between(stacked(weighted), nuts),
        warmup_steps=warmup_steps,
        diverging=diverging,
    )


def _pareto_k(log_weights: Tensor) -> float:
    count = len(log_weights)
    # one more than the tail, which is the threshold of the generalised Pareto fit
    largest = log_weights.topk(tail_length(count) + 1).values
    return float(pareto_k(largest.unsqueeze(0).numpy(), count)[0])
