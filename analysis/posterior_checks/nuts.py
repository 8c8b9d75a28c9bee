"""Audit by NUTS: the guide's posterior of single rows beside one that Markov chains draw from the
same model.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyro
import torch
from pyro.infer import MCMC, NUTS
from pyro.infer.autoguide import init_to_sample
from torch import Tensor
from torch.distributions import biject_to
from tqdm.auto import tqdm

from pyro_vae.analysis.export.arviz_objects import _arviz
from pyro_vae.analysis.fitted import (
    evaluation,
    posterior_of,
    require_density,
    require_full_precision,
)
from pyro_vae.analysis.marginal_likelihood.log_joint import log_joint
from pyro_vae.analysis.marginal_likelihood.pareto import khat_limit, pareto_k, tail_length
from pyro_vae.analysis.posterior_checks.moments import (
    RATIO,
    SHIFT,
    Difference,
    Moments,
    labelled,
    sd_error,
    stacked,
    weighted_moments,
)
from pyro_vae.analysis.results.verdicts import Finding, refit
from pyro_vae.arguments import public
from pyro_vae.data import as_rows
from pyro_vae.inputs import rows_of
from pyro_vae.rng import own_seed, row_seed
from pyro_vae.spec import support_of
from pyro_vae.vae import VAE

CHUNK = 1000
"""Draws of the guide that are decoded at once."""
R_HAT, ESS = 1.01, 400
"""The chains of a row are trusted up to this R-hat and from this effective number of draws on,
without divergences.
"""

HEADER = """\
       NUTS                guide: worst               resampled: worst
 row   R-hat    ESS  div.   shift          ratio          shift          ratio         k-hat  verdict"""

Verdict = Literal["agrees", "agrees after resampling", "differs", "inconclusive"]


@dataclass(frozen=True)
class Audit:
    """What NUTS found for some rows, and how far the guide is from it.

    Attributes:
        z: draws of NUTS after warm-up, (chain, draw, row, latent).
        r_hat: rank-normalised split R-hat, (row, latent); above 1.01 the chains disagree.
        ess: effective number of draws in the bulk, (row, latent).
        divergences: transitions after warm-up that diverged, (row,).
        pareto_k: of the guide's importance weights, (row,); above `khat_limit` resampling is not to
            be trusted.
        num_particles: draws of the guide.
        nuts: mean and standard deviation by NUTS.
        guide: the guide beside NUTS.
        resampled: the guide after importance resampling without end, that is under its
            self-normalised weights.
        warmup: transitions of each chain that were dropped.
    """

    z: np.ndarray
    r_hat: np.ndarray
    ess: np.ndarray
    divergences: np.ndarray
    pareto_k: np.ndarray
    num_particles: int
    nuts: Moments
    guide: Difference
    resampled: Difference
    warmup: int

    @property
    def converged(self) -> np.ndarray:
        """Whether the chains of a row can be trusted, (row,)."""
        mixed = (self.r_hat <= R_HAT) & (self.ess >= ESS)
        return np.logical_and(mixed.all(1), self.divergences == 0)

    @property
    def verdicts(self) -> list[Verdict]:
        """One a row: the guide agrees with NUTS, or only after resampling, or not; or NUTS itself
        did not converge.
        """
        repaired = self.resampled.small & (self.pareto_k <= khat_limit(self.num_particles))
        facts = zip(self.converged, self.guide.small, repaired, strict=True)
        return [_verdict(*fact) for fact in facts]

    def summary(self) -> str:
        """A line for each row, and how to read it."""
        chains, draws, rows, _ = self.z.shape
        return "\n".join(
            [
                (
                    f"audit by NUTS: {rows} rows, {chains} chains of {draws} draws after "
                    f"{self.warmup} of warm-up"
                ),
                HEADER,
                *(self._line(row, verdict) for row, verdict in enumerate(self.verdicts)),
                (
                    "shift: (mean - NUTS mean) / NUTS sd; ratio: sd / NUTS sd, below 1 is too "
                    "narrow; ± a standard error."
                ),
                (
                    f"agrees: shifts below {SHIFT}, ratios below a factor of {RATIO}. "
                    f"inconclusive: R-hat above {R_HAT}, "
                    f"ESS below {ESS},\nor divergences: raise warmup and draws before you blame "
                    "the guide."
                ),
            ]
        )

    def finding(self, guide: str = "semi_amortized") -> Finding:
        """The verdict over all rows; where it is no pass, the remedy is a guide of this kind."""
        said = self.verdicts
        good, unclear = (
            sum(verdict.startswith(how) for verdict in said) for how in ("agrees", "inconclusive")
        )
        longer = {
            "remedy": "run longer chains",
            "python": "pv.audit(vae, x[:1], draws=2000, warmup=2000)",
        }
        return Finding.judged(
            good == len(said),
            "warn",
            name="audit by NUTS",
            number=good,
            unit=f"of {len(said)} rows agree",
            threshold=len(said),
            side="at least",
            source=f"shift {SHIFT} sd, ratio {RATIO}: ours; R-hat {R_HAT}, ESS {ESS}: Vehtari et "
            "al. 2021",
            passed="the guide, resampled where needed, has the means and widths that Markov chains "
            "find",
            failed=f"{len(said) - good - unclear} rows differ, {unclear} are inconclusive: the "
            "chains did not converge",
            **(longer if unclear else refit(guide)),
        )

    def __str__(self) -> str:
        return self.summary()

    def _line(self, row: int, verdict: Verdict) -> str:
        chains = (
            f"{self.r_hat[row].max():5.3f} {self.ess[row].min():6.0f} {self.divergences[row]:5d}"
        )
        sides = f"{self.guide.worst(row)}  {self.resampled.worst(row)}"
        return f"{row:4d}   {chains}  {sides}  {self.pareto_k[row]:5.2f}  {verdict}"

    def to_arviz(self) -> Any:
        """The draws as what the installed ArviZ takes; here R-hat and ESS mean something."""
        import xarray as xr

        tree, arviz = xr.DataTree.from_dict({"posterior": labelled(self.z)}), _arviz()
        return arviz.from_datatree(tree) if hasattr(arviz, "from_datatree") else tree


@public
def audit(
    vae: VAE,
    x: Any,
    *,
    chains: int = 4,
    draws: int = 500,
    warmup: int = 500,
    num_particles: int = 2000,
    max_rows: int = 10,
    seed: int = 0,
    progress: bool | None = False,
) -> Audit:
    """Draw from p(z | x) of single rows by NUTS on `vae.model`, and hold the guide against it.

    shift = (E_q[z_d] - E_NUTS[z_d]) / sd_NUTS[z_d]        ratio = sd_q[z_d] / sd_NUTS[z_d]

    The same for the guide's draws under their importance weights p(x, z) / q(z | x). The chains
    start from the prior and run one after the other; the parameters stay as they are. Chains that
    all miss a mode agree with each other: R-hat can't see what no chain has found. A transition
    takes about 10 ms for a small decoder.

    References:
        The No-U-Turn Sampler: Adaptively Setting Path Lengths in Hamiltonian Monte Carlo (Hoffman,
        Gelman, 2014). Rank-Normalization, Folding, and Localization: An Improved R-hat for
        Assessing Convergence of MCMC (Vehtari, Gelman, Simpson, Carpenter, Bürkner, 2021).

    Arguments:
        vae: a model whose guide and prior have densities.
        x: a few rows shaped (n, *data_shape).
        chains: at least 2, for R-hat.
        draws: of each chain after warm-up, at least 4.
        warmup: transitions of each chain that adapt step size and mass matrix, and are dropped.
        num_particles: draws of the guide.
        max_rows: the most rows that are taken: each costs chains * (draws + warmup) transitions.
        seed: of all draws. A row's numbers don't depend on the rows beside it.
        progress: show a bar; None on a terminal only.

    Returns:
        `Audit`; print it.

    Raises:
        ValueError: no rows, more than `max_rows`, too few chains or draws, rows that don't fit the
            model, an autoencoder.

    Example:
        >>> found = audit(VAE(data_shape=(4,), latent_dim=2), torch.zeros(1, 4), chains=2, draws=4, warmup=4)
        >>> found.z.shape, found.guide.shift.shape
        ((2, 4, 1, 2), (1, 2))
    """
    _check(chains, draws, warmup, num_particles)
    require_full_precision(vae, "audit")
    require_density(vae)
    _require_few(len(as_rows(x, vae.spec.data_shape)), max_rows, chains * (draws + warmup))
    rows, hidden = (
        list(rows_of(vae, x, "x", batch_size=1)),
        None if progress is None else not progress,
    )
    rows = [row for batch in rows for row in batch.split(1)]  # a DataLoader has a size of its own
    steps = len(rows) * chains * (draws + warmup)
    with (
        evaluation(vae),
        frozen(vae),
        tqdm(total=steps, disable=hidden, desc="NUTS", unit="step", dynamic_ncols=True) as bar,
    ):
        runs = [
            [
                _chain(vae, row, row_seed(row, f"{seed} {chain}"), draws, warmup, bar.update)
                for chain in range(chains)
            ]
            for row in rows
        ]
        proposals = [
            _guide(vae, row, row_seed(row, f"{seed} guide"), num_particles) for row in rows
        ]
    z = np.stack([np.stack([chain for chain, _ in run]) for run in runs], 2)
    divergences = np.array([sum(count for _, count in run) for run in runs])
    return _compare(z, divergences, proposals, warmup)


@contextmanager
def frozen(vae: VAE) -> Iterator[None]:
    """No parameter asks for a gradient inside the block; after it each does as before."""
    asked = {parameter: parameter.requires_grad for parameter in vae.parameters()}
    vae.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, gradient in asked.items():
            parameter.requires_grad_(gradient)


def _check(chains: int, draws: int, warmup: int, num_particles: int) -> None:
    got = {
        "chains": (chains, 2),
        "draws": (draws, 4),
        "warmup": (warmup, 1),
        "num_particles": (num_particles, 2),
    }
    for name, (value, fewest) in got.items():
        if value < fewest:
            raise ValueError(f"{name}: expected at least {fewest}, got {value}")


def _require_few(rows: int, max_rows: int, steps: int) -> None:
    if rows > max_rows:
        raise ValueError(
            f"audit: expected at most max_rows = {max_rows} rows, got {rows}; each takes {steps:,} "
            "NUTS transitions, "
            f"some {steps / 100:,.0f} s, {rows * steps:,} in all; pass fewer rows (x[:{max_rows}]) "
            "or raise max_rows"
        )


def _chain(
    vae: VAE, row: Tensor, seed: int, draws: int, warmup: int, advance: Callable[[int], Any]
) -> tuple[np.ndarray, int]:
    """The draws of one chain for one row, (draw, latent), and its number of divergences."""
    transform = biject_to(support_of(vae.prior())).inv
    kernel = NUTS(vae.model, init_strategy=init_to_sample, transforms={"z": transform})
    mcmc = MCMC(kernel, draws, warmup, disable_progbar=True, hook_fn=lambda *_: advance(1))
    with (
        pyro.settings.context(module_local_params=True),
        own_seed(seed, row.device),
        torch.enable_grad(),
    ):
        mcmc.run(row)
    z: Tensor = mcmc.get_samples()["z"][:, 0]
    return z.cpu().numpy(), len(mcmc.diagnostics()["divergences"]["chain 0"])


def _guide(vae: VAE, row: Tensor, seed: int, num_particles: int) -> tuple[Tensor, Tensor]:
    """Draws of the guide for one row, (draw, latent), and their log weights, (draw,), in float64."""
    q = posterior_of(vae, row)
    with own_seed(seed, row.device):
        z = q.sample(torch.Size([num_particles]))
    log_p = torch.cat([log_joint(vae, row, some) for some in z.split(CHUNK)])
    return z[:, 0].double().cpu(), (log_p - q.log_prob(z))[:, 0].double().cpu()


def _compare(
    z: np.ndarray, divergences: np.ndarray, proposals: list[tuple[Tensor, Tensor]], warmup: int
) -> Audit:
    arviz, draws = _arviz(), labelled(z)
    mean_se = np.asarray(arviz.mcse(draws, method="mean")["z"])
    nuts = Moments(z.mean((0, 1), dtype=float), mean_se, z.std((0, 1), dtype=float), sd_error(z))
    guide = stacked(
        [weighted_moments(draws, torch.zeros_like(log_weights)) for draws, log_weights in proposals]
    )
    resampled = stacked([weighted_moments(draws, log_weights) for draws, log_weights in proposals])
    return Audit(
        z=z,
        r_hat=np.asarray(arviz.rhat(draws)["z"]),
        ess=np.asarray(arviz.ess(draws)["z"]),
        divergences=divergences,
        pareto_k=np.array([_pareto_k(log_weights) for _, log_weights in proposals]),
        num_particles=len(proposals[0][1]),
        nuts=nuts,
        guide=Difference.between(guide, nuts),
        resampled=Difference.between(resampled, nuts),
        warmup=warmup,
    )


def _pareto_k(log_weights: Tensor) -> float:
    largest = log_weights.topk(tail_length(len(log_weights)) + 1).values
    return float(pareto_k(largest.unsqueeze(0).numpy(), len(log_weights))[0])


def _verdict(converged: bool, agrees: bool, repaired: bool) -> Verdict:
    if not converged:
        return "inconclusive"
    if agrees:
        return "agrees"
    return "agrees after resampling" if repaired else "differs"
