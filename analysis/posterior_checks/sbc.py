"""Simulation-based calibration: is q(z | x) the posterior, on rows that the model itself draws?"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Tensor
from tqdm.auto import tqdm

from pyro_vae.analysis.fitted import (
    as_numpy,
    evaluation,
    posterior_of,
    require_density,
    warn_of_half,
)
from pyro_vae.analysis.marginal_likelihood.log_joint import log_joint
from pyro_vae.analysis.results.verdicts import Finding, refit
from pyro_vae.arguments import public
from pyro_vae.inputs import placement_of
from pyro_vae.rng import own_seed
from pyro_vae.vae import VAE

CHUNK = 10_000
"""Pairs of a row and a draw that are decoded at once."""
ORDER = 4
"""Legendre polynomials in the smooth test: slope, curvature, and two finer shapes."""
SIGNIFICANT = 0.01
"""A p-value below this is called a departure from calibration."""
SHOWN = 5
"""Latent dimensions in the summary, the worst first."""
SCOPE = (
    "It shows whether q(z | x) is p(z | x) on rows drawn from the model, on average over p(x). It "
    "does not show that\n"
    "the model fits your rows, that the guide is right on your rows, or that it is right on each "
    "row by itself."
)


@dataclass(frozen=True)
class Calibration:
    """Where the true z of each simulated row stands among its draws; uniform if the draws are from
    p(z | x).

    p-values are of Neyman's smooth test of uniformity: the chi-squared of the first four Legendre
    polynomials.

    References:
        'Smooth test' for goodness of fit (Neyman, 1937).

    Attributes:
        pit: (rank + u) / (draws + 1) of z, with the rank from 0 to `draws` and u ~ U(0, 1),
            (num_rows, latent_dim).
        joint_pit: the same of log p(x, z), which sees what the dimensions hide: correlations, a
            guide that ignores x.
        draws: for each row.
        resample: proposals of each row that the draws were resampled from; None for the guide's own
            draws.
    """

    pit: np.ndarray
    joint_pit: np.ndarray
    draws: int
    resample: int | None

    @property
    def rank(self) -> np.ndarray:
        """How many draws lie below the truth, from 0 to `draws`, (num_rows, latent_dim)."""
        return np.floor(self.pit * (self.draws + 1)).astype(int)

    @property
    def p_values(self) -> np.ndarray:
        """Of each latent dimension, (latent_dim,), not corrected for their number."""
        return uniformity(self.pit)

    @property
    def joint_p_value(self) -> float:
        """Of log p(x, z)."""
        return float(uniformity(self.joint_pit))

    @property
    def adjusted(self) -> np.ndarray:
        """Holm's p-values of the latent dimensions and, last, of log p(x, z), (latent_dim + 1,)."""
        return holm(np.append(self.p_values, self.joint_p_value))

    @property
    def p_value(self) -> float:
        """Of everything: Bonferroni's over the latent dimensions and log p(x, z), which is Holm's
        smallest.
        """
        return float(self.adjusted.min())

    def coverage(self, level: float = 0.9) -> np.ndarray:
        """Share of rows whose true z lies in the central interval of that probability,
        (latent_dim,).
        """
        return (np.abs(self.pit - 0.5) < level / 2).mean(0)

    def summary(self) -> str:
        """The overall p-value, the worst dimensions in words, and what they do and do not show."""
        rows, dims = self.pit.shape
        source = (
            "the guide"
            if self.resample is None
            else f"the guide, resampled from {self.resample} proposals"
        )
        verdict = "NOT calibrated" if self.p_value < SIGNIFICANT else "no departure found"
        worst = np.argsort(self.adjusted[:dims], kind="stable")[:SHOWN]
        return "\n".join(
            [
                (
                    f"calibration of {source}: {rows} rows drawn from the model, {self.draws} "
                    "draws each"
                ),
                f"overall      p = {self.p_value:<8.2g}   {verdict}"
                f"   (smooth test, Bonferroni over {dims} dimensions and log p(x, z))",
                *(self._line(d) for d in worst),
                f"log p(x, z)  p = {self.adjusted[-1]:<8.2g}   {self._joint_reading()}",
                f"(p-values after Holm; the worst {len(worst)} of {dims} dimensions)",
                SCOPE,
            ]
        )

    def finding(self, guide: str = "semi_amortized") -> Finding:
        """The verdict; where it is no pass, the remedy is a guide of this kind."""
        return Finding.judged(
            self.p_value >= SIGNIFICANT,
            "warn",
            name="calibration of the guide",
            number=self.p_value,
            unit="p",
            threshold=SIGNIFICANT,
            side="at least",
            source="ours; the test: Talts et al. 2018, Neyman 1937",
            passed="on rows of the model, intervals of q(z | x) hold the truth as often as they "
            "say",
            failed="on rows of the model, q(z | x) is off; print(pv.calibration(vae)) says in "
            "which dimension and how",
            **refit(guide),
        )

    def __str__(self) -> str:
        return self.summary()

    def _line(self, d: int) -> str:
        share = self.coverage()[d]
        held = f"90% intervals hold the truth {share:.1%} ± {math.sqrt(share * (1 - share) / len(self.pit)):.1%}"
        return f"{f'z[{d}]':<11}  p = {self.adjusted[d]:<8.2g}   {held}   {self._reading(d)}"

    def _reading(self, d: int) -> str:
        slope, curvature = components(self.pit[:, d])[:2]
        shapes = {
            "too narrow (ranks U-shaped)": curvature > 3,
            "too wide (ranks dome-shaped)": curvature < -3,
            "too low (ranks rise)": slope > 3,
            "too high (ranks fall)": slope < -3,
        }
        return _said(self.adjusted[d], [words for words, seen in shapes.items() if seen])

    def _joint_reading(self) -> str:
        slope = components(self.joint_pit)[0]
        shapes = {
            "draws less probable than the truth: too wide, biased, or blind to correlations": slope
            > 3,
            "draws more probable than the truth: too narrow": slope < -3,
        }
        return _said(self.adjusted[-1], [words for words, seen in shapes.items() if seen])


@public
def calibration(
    vae: VAE,
    *,
    num_rows: int = 1000,
    draws: int = 99,
    resample: int | None = None,
    seed: int = 0,
    progress: bool | None = False,
) -> Calibration:
    """Simulation-based calibration of the guide: ranks of the true z among draws of q(z | x),
    without refits.

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
        num_rows: simulated rows; 1000 see a width that is wrong by 10 %.
        draws: L, for each row.
        resample: M, proposals of each row for importance resampling; None for none.
        seed: of everything that is drawn.
        progress: show a bar; None on a terminal only.

    Returns:
        `Calibration`; print it.

    Raises:
        ValueError: no rows or draws, fewer proposals than draws, an autoencoder, a density that is
            nan.

    Example:
        >>> found = calibration(VAE(data_shape=(4,), latent_dim=2), num_rows=20, draws=9)
        >>> found.rank.shape, found.p_values.shape
        ((20, 2), (2,))
    """
    _check(num_rows, draws, resample)
    require_density(vae)
    warn_of_half(vae, "calibration")
    together, hidden = (
        max(1, CHUNK // (resample or draws)),
        None if progress is None else not progress,
    )
    parts = []
    with (
        evaluation(vae),
        own_seed(seed, placement_of(vae).device),
        tqdm(
            total=num_rows, disable=hidden, desc="calibration", unit="row", dynamic_ncols=True
        ) as bar,
    ):
        z = vae.prior().sample(torch.Size([num_rows]))
        x = torch.cat([vae.likelihood(some).sample() for some in z.split(CHUNK)])
        for rows in zip(z.split(together), x.split(together), strict=True):
            parts.append(_pit_of_rows(vae, *rows, draws, resample))
            bar.update(len(rows[0]))
    pit = as_numpy(torch.cat(parts))
    return Calibration(pit[:, :-1], pit[:, -1], draws, resample)


def uniformity(pit: np.ndarray) -> np.ndarray:
    """p-values of Neyman's smooth test that each column of (rows, ...) is uniform on (0, 1).

    The chance of a p-value below 0.01 is 0.01 within a tenth of it from 50 rows on.
    """
    p: np.ndarray = stats.chi2.sf(np.square(components(pit)).sum(0), ORDER)
    return p


def components(pit: np.ndarray) -> np.ndarray:
    """√n mean(√(2k + 1) P_k(2 pit - 1)) for k = 1, ..., 4: (4, ...), each about N(0, 1) if (rows,
    ...) is uniform.

    The first is above 0 where the truth lies above the draws, the second where it lies outside
    them.
    """
    polynomials = np.polynomial.legendre.legvander(2 * pit - 1, ORDER)[..., 1:]
    scores: np.ndarray = (
        math.sqrt(len(pit)) * polynomials.mean(0) * np.sqrt(2 * np.arange(1, ORDER + 1) + 1)
    )
    return np.moveaxis(scores, -1, 0)


def holm(p_values: np.ndarray) -> np.ndarray:
    """p-values (m,) adjusted so that the chance of any below α, all being true, is at most α (Holm,
    1979).

    Example:
        >>> holm(np.array([0.01, 0.04, 0.03]))
        array([0.03, 0.06, 0.06])
    """
    order, adjusted = np.argsort(p_values), np.empty(len(p_values))
    steps = np.arange(len(p_values), 0, -1) * p_values[order]
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def _check(num_rows: int, draws: int, resample: int | None) -> None:
    if num_rows < 1 or draws < 1:
        raise ValueError(f"num_rows, draws: expected at least 1, got {num_rows}, {draws}")
    if resample is not None and resample < draws:
        raise ValueError(
            f"resample: expected at least as many proposals as draws ({draws}), got {resample}; "
            f"take resample={10 * draws} or more, or fewer draws"
        )


def _pit_of_rows(vae: VAE, z: Tensor, x: Tensor, draws: int, resample: int | None) -> Tensor:
    """The pit of z and, last, of log p(x, z) for rows x from p(x | z), (n, latent_dim + 1)."""
    truth = torch.cat([z, log_joint(vae, x, z).unsqueeze(-1)], -1)
    q = posterior_of(vae, x)
    proposals = q.sample(torch.Size([resample or draws]))
    log_p = torch.cat(
        [log_joint(vae, x, some) for some in proposals.split(max(1, CHUNK // len(x)))]
    )
    drawn = torch.cat([proposals, log_p.unsqueeze(-1)], -1)
    if truth.isnan().any() or drawn.isnan().any():
        raise ValueError(
            "calibration: z or log p(x, z) is nan on rows drawn from the model; expected numbers; "
            "the parameters may have diverged while training, or p(x | z) draws values outside its "
            "support"
        )
    if resample:
        drawn = _resampled(drawn, log_p - q.log_prob(proposals), draws)
    return _pit(truth, drawn)


def _resampled(proposals: Tensor, log_weights: Tensor, draws: int) -> Tensor:
    """`draws` of the proposals (M, rows, ...), picked with replacement in proportion to their
    weights (M, rows).
    """
    picked = torch.multinomial(log_weights.double().softmax(0).T, draws, replacement=True).T
    return proposals.take_along_dim(picked.unsqueeze(-1), 0)


def _pit(truth: Tensor, drawn: Tensor) -> Tensor:
    """(#{draws < truth} + u (#{draws = truth} + 1)) / (draws + 1) with u ~ U(0, 1), in float64."""
    below, ties = (drawn < truth).sum(0), (drawn == truth).sum(0)
    return (below + torch.rand_like(truth, dtype=torch.float64) * (ties + 1)) / (len(drawn) + 1)


def _said(p_value: float, shapes: list[str]) -> str:
    if p_value >= SIGNIFICANT:
        return "no departure seen"
    return ", ".join(shapes) or "ranks of another shape"
