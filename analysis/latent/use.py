"""How much of the latent space is used: active units, rates, mutual information, and the aggregate
posterior.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import (
    Distribution,
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
)
from tqdm.auto import tqdm

from pyro_vae.analysis.fitted import as_numpy, evaluation, has_density, posterior_of
from pyro_vae.analysis.latent.codes import encode, rate
from pyro_vae.analysis.results.verdicts import LATENT, Finding
from pyro_vae.arguments import public
from pyro_vae.inputs import placement_of, rows_of
from pyro_vae.objectives import analytic_kl
from pyro_vae.rng import own_seed
from pyro_vae.vae import VAE

PAIRS = 2**18
"""Pairs of a draw and a row whose density is computed at once."""
PRIOR_DRAWS = 20_000
"""Draws for the moments of a prior that has none in closed form."""
Bounds = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class LatentUse:
    """How much of the latent space is used; in nats where it has a unit.

    Attributes:
        variance: Var_x E_q[z_d] of each dimension, (latent_dim,); an active unit has more than
            `threshold`.
        threshold: for active units.
        rate, rate_se: the mean of KL(q(z | x) ‖ p(z)) over rows and its standard error.
        rate_per_dim: the mean over rows of KL(q(z_d | x) ‖ p(z_d)) of the marginals, (latent_dim,),
            which sum to the rate where the dimensions are independent in q(z | x) and p(z); a
            covariance in q adds its total correlation. nan where q or p has no marginals in closed
            form.
        information, information_upper: bounds of I(x; z) under q, from below and above in
            expectation; the lower one is at most log n.
        information_se, information_upper_se: their standard errors over rows.
        num_rows: n.
        mean, mean_se: of the aggregate posterior q(z) = (1/n) Σᵢ q(z | xᵢ), (latent_dim,).
        scale, scale_se: its standard deviation, (latent_dim,).
        prior_mean, prior_scale: those of the prior, (latent_dim,).
    """

    variance: np.ndarray
    threshold: float
    rate: float
    rate_se: float
    rate_per_dim: np.ndarray
    information: float
    information_se: float
    information_upper: float
    information_upper_se: float
    num_rows: int
    mean: np.ndarray
    mean_se: np.ndarray
    scale: np.ndarray
    scale_se: np.ndarray
    prior_mean: np.ndarray
    prior_scale: np.ndarray

    @property
    def active(self) -> np.ndarray:
        """Which dimensions are active, (latent_dim,)."""
        return self.variance > self.threshold

    @property
    def active_units(self) -> int:
        """How many dimensions are active."""
        return int(self.active.sum())

    @property
    def marginal_kl(self) -> tuple[float, float]:
        """KL(q(z) ‖ p(z)) = rate - I(x; z), between what the bounds of I leave; it is never
        negative.
        """
        return max(self.rate - self.information_upper, 0.0), max(self.rate - self.information, 0.0)

    @property
    def warning(self) -> str:
        """What there is to say about dead units; empty where there are none."""
        dead, latent_dim = ~self.active, len(self.variance)
        if not dead.any():
            return ""
        nats = self.rate_per_dim[dead].sum()
        cost = (
            "" if math.isnan(nats) else f"; together they carry {nats:.3f} of {self.rate:.3f} nats"
        )
        found = f"{dead.sum()} of {latent_dim} units are dead (variance of their mean at most {self.threshold}){cost}"
        if dead.all():
            return f"posterior collapse: {found}; z says nothing about x"
        return f"partial posterior collapse: {found}"

    def finding(self) -> Finding:
        """The verdict on dead units."""
        active, total = self.active_units, len(self.variance)
        return Finding.judged(
            not self.warning,
            "warn",
            name=LATENT,
            number=active,
            unit=f"of {total} units active",
            threshold=total,
            side="at least",
            source=f"variance of the mean above {self.threshold}, Burda et al. 2016",
            passed="no unit is dead",
            failed=self.warning,
            **self._remedy(),
        )

    def _remedy(self) -> dict[str, str]:
        """Units that never carried anything can go; where none does, training has to start with
        less pressure.
        """
        if not self.active_units:
            return {
                "remedy": "fit anew with a rate whose weight grows from 0 over the first epochs",
                "python": "pv.fit(pv.VAE.from_spec(vae.spec), x_train, kl_warmup_epochs=50)",
                "command": (
                    "pyro-vae fit RUN/experiment.json --set fit.kl_warmup_epochs=50 --output "
                    "RUN-annealed"
                ),
            }
        units = self.active_units
        return {
            "remedy": f"leave it, or fit again with latent_dim {units}, which loses nothing",
            "python": f"pv.fit(pv.VAE.from_spec(vae.spec, latent_dim={units}), x_train)",
            "command": (
                f"pyro-vae fit RUN/experiment.json --set latent_dim={units} --output "
                f"RUN-{units}-units"
            ),
        }

    def summary(self) -> str:
        """The numbers with their standard errors, and how to read them."""
        low, high = self.marginal_kl
        shift = np.abs(self.mean - self.prior_mean) / self.prior_scale
        ratio = self.scale / self.prior_scale
        lines = [
            (
                f"active units      {self.active_units} of {len(self.variance)}   ({self.num_rows} "
                "rows)"
            ),
            (
                f"rate              {self.rate:8.3f} ± {self.rate_se:.3f} nats per row, KL(q(z | "
                "x) ‖ p(z))"
            ),
            f"I(x; z)           {self.information:8.3f} ± {self.information_se:.3f}"
            f" to {self.information_upper:.3f} ± {self.information_upper_se:.3f} nats",
            f"KL(q(z) ‖ p(z))   {low:8.3f} to {high:.3f} nats: what samples from the prior miss",
            f"q(z) by dimension {shift.max():8.3f} prior standard deviations off at most,"
            f" {ratio.min():.3f} to {ratio.max():.3f} times as wide",
        ]
        if self.information > math.log(self.num_rows) - 1:
            lines.append(
                f"I(x; z) is near its ceiling log n = {math.log(self.num_rows):.3f}; pass more rows"
            )
        return "\n".join([*lines, self.warning] if self.warning else lines)


@public
def latent_use(
    vae: VAE,
    x: Any,
    *,
    num_particles: int = 4,
    threshold: float = 0.01,
    seed: int = 0,
    progress: bool | None = False,
) -> LatentUse:
    """Measure what z says about x, dimension by dimension and as a whole, and how far q(z) is from
    the prior.

    E KL(q(z | x) ‖ p(z)) = I(x; z) + KL(q(z) ‖ p(z)),   I(x; z) = E log q(z | x) / q(z)

    q(z) is a mean over the rows. With the row itself in it the estimate of I is low on average and
    at most log n, since n rows can't tell more apart; without it, high: the two are a bracket,
    which more rows close and more draws don't. Their standard errors are over rows, as if q(z) were
    known. The densities of all draws under all rows are computed: num_particles n² of them.

    References:
        Importance Weighted Autoencoders (Burda, Grosse, Salakhutdinov, 2016), for active units.
        ELBO surgery: yet another way to carve up the variational evidence lower bound (Hoffman,
        Johnson, 2016). On Variational Bounds of Mutual Information (Poole, Ozair, van den Oord,
        Alemi, Tucker, 2019), for the bracket.

    Arguments:
        vae: a model whose guide and prior have densities.
        x: rows shaped (n, *data_shape), at least 2.
        num_particles: draws of z for each row.
        threshold: variance above which a unit is active.
        seed: of the draws.
        progress: show a bar; None on a terminal only.

    Returns:
        `LatentUse`.

    Raises:
        ValueError: fewer than 2 rows, no draws, rows that don't fit the model, an autoencoder.

    Example:
        >>> latent_use(VAE(data_shape=(4,), latent_dim=2), torch.randn(30, 4)).variance.shape
        (2,)
    """
    if num_particles < 1:
        raise ValueError(f"num_particles: expected at least 1, got {num_particles}")
    _require_density(vae)
    codes, rates = encode(vae, x), rate(vae, x, num_particles=max(num_particles, 16), seed=seed)
    if len(rates) < 2:
        raise ValueError("x: expected at least 2 rows, got 1; I(x; z) needs rows to tell apart")
    with evaluation(vae):
        guides = [posterior_of(vae, batch) for batch in rows_of(vae, x, "x")]
        with own_seed(seed, placement_of(vae).device):
            draws = [q.sample(torch.Size([num_particles])) for q in guides]
            prior_mean, prior_scale = (as_numpy(part) for part in _moments(vae.prior()))
            per_dim = [_rate_per_dim(q, vae.prior()) for q in guides]
        lower, upper = _information(guides, draws, progress)
    square = codes.scale**2 + (codes.loc - codes.loc.mean(0)) ** 2
    scale = np.sqrt(square.mean(0))
    return LatentUse(
        variance=codes.loc.var(0),
        threshold=threshold,
        rate=float(rates.mean()),
        rate_se=float(_standard_error(rates)),
        rate_per_dim=as_numpy(torch.cat(per_dim).mean(0)),
        information=float(lower.mean()),
        information_se=float(_standard_error(lower)),
        information_upper=float(upper.mean()),
        information_upper_se=float(_standard_error(upper)),
        num_rows=len(rates),
        mean=codes.loc.mean(0),
        mean_se=_standard_error(codes.loc),
        scale=scale,
        scale_se=_standard_error(square) / (2 * scale),
        prior_mean=prior_mean,
        prior_scale=prior_scale,
    )


def _require_density(vae: VAE) -> None:
    if not has_density(vae):
        raise ValueError(
            f"latent_use: guide {vae.spec.guide.kind!r} with prior {vae.spec.prior.kind!r} is an "
            "autoencoder: a point "
            "has no rate and no finite I(x; z); encode(vae, x).active_units() counts its active "
            "units"
        )


def _information(guides: list[Distribution], draws: list[Tensor], progress: bool | None) -> Bounds:
    """log q(z | x) / q(z) of each row, meaned over its draws: with the row itself in q(z), and
    without it.
    """
    rows = sum(len(z[0]) for z in draws)
    columns: list[Bounds] = []
    first = 0
    hidden = None if progress is None else not progress
    with tqdm(total=rows, disable=hidden, desc="I(x; z)", unit="row", dynamic_ncols=True) as bar:
        for z in draws:
            for some in z.split(max(1, PAIRS // (rows * len(z))), 1):
                own = first + torch.arange(some.shape[1], device=z.device)
                columns.append(_log_ratios(guides, some, own))
                first += len(own)
                bar.update(len(own))
    lower, upper = (np.concatenate(column) for column in zip(*columns, strict=True))
    return lower, upper


def _log_ratios(guides: list[Distribution], z: Tensor, own: Tensor) -> Bounds:
    """Both ratios for draws z (draws, some rows, latent_dim) of the rows that `own` counts."""
    each = z.unsqueeze(-2)
    log_q = torch.cat(
        [q.log_prob(each.expand(*z.shape[:-1], *q.batch_shape, -1)) for q in guides], -1
    ).double()
    index = own.expand(len(z), -1).unsqueeze(-1)
    itself, rows = log_q.gather(-1, index).squeeze(-1), log_q.shape[-1]
    with_itself = log_q.logsumexp(-1) - math.log(rows)
    without = log_q.scatter(-1, index, -torch.inf).logsumexp(-1) - math.log(rows - 1)
    return as_numpy((itself - with_itself).mean(0)), as_numpy((itself - without).mean(0))


def _rate_per_dim(q: Distribution, p: Distribution, draws: int = 64) -> Tensor:
    """KL(q(z_d | x) ‖ p(z_d)) of each row and dimension: closed, or from draws; nan without
    marginals.
    """
    q_d, p_d = _marginals(q), _marginals(p)
    if q_d is None or p_d is None:
        return torch.full((*q.batch_shape, *q.event_shape), torch.nan)
    closed_form = analytic_kl(q_d, p_d.expand(q_d.batch_shape))
    if closed_form is not None:
        return closed_form
    z = q_d.sample(torch.Size([draws]))
    return (q_d.log_prob(z) - p_d.log_prob(z)).mean(0)


def _marginals(p: Any) -> Distribution | None:
    """The distributions of the dimensions, each a batch element; None where there is no closed
    form.
    """
    if isinstance(p, Independent) and p.reinterpreted_batch_ndims == 1:
        base: Distribution = p.base_dist
        return base
    if isinstance(p, MultivariateNormal | LowRankMultivariateNormal):
        marginals: Distribution = dist.Normal(p.mean, p.stddev)
        return marginals
    return None


def _moments(p: Distribution) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, from draws where there is no closed form."""
    try:
        return p.mean, p.stddev
    except NotImplementedError:
        z = p.sample(torch.Size([PRIOR_DRAWS]))
        return z.mean(0), z.std(0)


def _standard_error(values: np.ndarray) -> Any:
    return values.std(0, ddof=1) / math.sqrt(len(values))
