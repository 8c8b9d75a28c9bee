"""Whether the draws of a distribution are from its density: a check for a user's own prior."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Distribution, biject_to

from pyro_vae.analysis.fitted import evaluation
from pyro_vae.analysis.results.verdicts import Finding
from pyro_vae.arguments import public
from pyro_vae.networks.evaluation_mode import unvalidated
from pyro_vae.rng import own_seed
from pyro_vae.spec import as_pyro, support_of
from pyro_vae.vae import VAE

STEPS = 40
"""Steps of each chain, of which half are local on average."""
WIDTHS = (2.4, 0.6, 0.15)
"""Of the local steps, in standard deviations over √dim: one of them is drawn for each step."""
DF = 4.0
"""Degrees of freedom of the proposal that doesn't depend on the state of a chain."""
SMALLEST_P = 1e-3
"""A smaller p-value fails the check: by chance one right prior in a thousand."""
IQR = 1.349
"""The interquartile range of a standard normal."""


class Match(NamedTuple):
    """How well draws match a density.

    Attributes:
        statistic: the largest |z| over the test quantities, where z is about N(0, 1) if the draws
            are from the density.
        p_value: of it, corrected for the number of quantities; small where draws and density
            disagree.
        quantity: which one it was: "log density", "z[0]", "|z[0]|" (the distance from the middle),
            ..., "axis[0]" (a principal axis of the draws), or "density" where that is not finite at
            a draw.
    """

    statistic: float
    p_value: float
    quantity: str


@public
def samples_match_density(
    prior: Distribution, *, num_samples: int = 4000, seed: int = 0
) -> Match:
    """Test that `prior.sample()` draws from a density that is proportional to `prior.log_prob`.

    z ~ sample(),  z' ~ a Metropolis chain from z that leaves the density as it is

    If z is from the density, then so is z', and (z, z') has the distribution of (z', z), whatever
    the chain does: its kernel is reversible. So T(z') - T(z) is symmetric about 0 for any function
    T: here log p(z), and each coordinate and principal axis with the distance from the middle, in
    ranks, so that no tail is too heavy. The mean of each is tested, and the smallest p-value is
    corrected for their number (Bonferroni). The steps are local ones and, with equal chance, draws
    from a Student-t that is fitted to other draws: shares of modes are seen too.

    It can't see what no step finds: a mode that is never drawn, far from those that are; a
    difference below about 3 / √num_samples of a standard deviation; the normalising constant.

    References:
        Generalized Monte Carlo Significance Tests (Besag, Clifford, 1989), for the exchangeable
        pair.

    Arguments:
        prior: over vectors, with `sample`, `log_prob` and a continuous support.
        num_samples: draws, of which half start a chain and half fit the proposal.
        seed: of all draws.

    Returns:
        `Match`.

    Raises:
        ValueError: fewer than 100 draws, a support without a map to real vectors (discrete values).

    Example:
        >>> import pyro.distributions as dist
        >>> samples_match_density(dist.Normal(torch.zeros(2), 1.0).to_event(1)).p_value > 0.01
        True
    """
    if num_samples < 100:
        raise ValueError(f"num_samples: expected at least 100, got {num_samples}")
    p = Unbounded(as_pyro(prior))
    with torch.no_grad(), unvalidated(), own_seed(seed):
        fitting, start = p.draws(num_samples).chunk(2)
        density = p.log_prob(start)
        if not density.isfinite().all():
            return Match(math.inf, 0.0, "density")
        proposal = Proposal.fitted(fitting)
        end = _metropolis(p.log_prob, start, density, proposal)
        before = _quantities(p, proposal, fitting, start)
        after = _quantities(p, proposal, fitting, end)
    scores = {name: abs(_score(after[name] - before[name])) for name in before}
    worst = max(scores, key=lambda name: scores[name])
    p_value = float(2 * stats.norm.sf(scores[worst])) * len(scores)
    return Match(scores[worst], min(1.0, p_value), worst)


class Unbounded:
    """The density of y, where z = T(y) maps real vectors onto the support."""

    def __init__(self, prior: Distribution) -> None:
        self.prior = prior
        try:
            self.to_support = biject_to(support_of(prior))
        except NotImplementedError as error:
            raise ValueError(
                f"prior: expected continuous vectors, got the support {support_of(prior)}, which "
                "has no map to real vectors; its draws can't be checked in this way"
            ) from error

    def draws(self, count: int) -> Tensor:
        z = self.prior.sample(torch.Size([count])).double()
        y: Tensor = self.to_support.inv(z)
        return y

    def log_prob(self, y: Tensor) -> Tensor:
        """log p(y) in float64; -inf where it is nan, so that no chain goes there."""
        z = self.to_support(y)
        dtype = self.prior.sample(torch.Size([1])).dtype
        density = self.prior.log_prob(z.to(dtype)).double()
        jacobian: Tensor = self.to_support.log_abs_det_jacobian(y, z)
        if jacobian.ndim > density.ndim:
            jacobian = jacobian.sum(-1)
        return (density + jacobian).nan_to_num(-math.inf, -math.inf, -math.inf)


@dataclass
class Proposal:
    """A multivariate Student-t with the middle and the spread of some draws.

    Attributes:
        loc: medians, (dim,).
        tril: a triangular root of the draws' correlation with robust scales, (dim, dim).
    """

    loc: Tensor
    tril: Tensor

    @classmethod
    def fitted(cls, draws: Tensor) -> "Proposal":
        """The proposal with the medians, the quartiles and the correlations of draws (n, dim)."""
        low, middle, high = draws.quantile(draws.new_tensor([0.25, 0.5, 0.75]), 0)
        scale = ((high - low) / IQR).clamp_min(1e-12)
        clipped = ((draws - middle) / scale).clamp(-5, 5)
        jitter = 1e-6 * torch.eye(draws.shape[1], dtype=draws.dtype)
        correlation = clipped.T @ clipped / len(draws) + jitter
        return cls(middle, scale.unsqueeze(1) * torch.linalg.cholesky(correlation))

    def axes(self) -> Tensor:
        """The principal axes of the standardised draws, (dim, dim), which see correlations."""
        scale = self.tril.norm(dim=1)
        correlation = (self.tril @ self.tril.T) / (scale.unsqueeze(1) * scale)
        return torch.linalg.eigh(correlation).eigenvectors / scale.unsqueeze(1)

    def local(self, y: Tensor) -> Tensor:
        """A step of a random width from each state y, (n, dim)."""
        which = torch.randint(len(WIDTHS), (len(y), 1))
        width = y.new_tensor(WIDTHS)[which] / math.sqrt(y.shape[1])
        return y + width * (torch.randn_like(y) @ self.tril.T)

    def anywhere(self, y: Tensor) -> Tensor:
        """A draw of the Student-t for each state, whatever it is, (n, dim)."""
        chi2 = torch.distributions.Chi2(y.new_tensor(DF))
        scale = (DF / chi2.sample(torch.Size([len(y), 1]))).sqrt()
        return self.loc + (torch.randn_like(y) @ self.tril.T) * scale

    def log_prob(self, y: Tensor) -> Tensor:
        """The log density of the Student-t, up to a constant."""
        white = torch.linalg.solve_triangular(
            self.tril, (y - self.loc).T, upper=False
        ).T
        return -0.5 * (DF + y.shape[1]) * torch.log1p(white.square().sum(-1) / DF)


def _metropolis(
    log_prob: Callable[[Tensor], Tensor], y: Tensor, density: Tensor, proposal: Proposal
) -> Tensor:
    """The states y, (n, dim), after `STEPS` Metropolis-Hastings steps each.

    The kind of a step is chosen without looking at y, so that the chain is reversible.
    """
    for _ in range(STEPS):
        is_far = torch.rand(len(y), dtype=y.dtype) < 0.5
        moved = torch.where(
            is_far.unsqueeze(1), proposal.anywhere(y), proposal.local(y)
        )
        moved_density = log_prob(moved)
        # local steps are symmetric and need no correction
        correction = proposal.log_prob(y) - proposal.log_prob(moved)
        log_ratio = moved_density - density + torch.where(is_far, correction, 0.0)
        accept = torch.rand(len(y), dtype=y.dtype).log() < log_ratio
        y = torch.where(accept.unsqueeze(1), moved, y)
        density = torch.where(accept, moved_density, density)
    return y


def _quantities(
    p: Unbounded, proposal: Proposal, fitting: Tensor, y: Tensor
) -> dict[str, Tensor]:
    """T(y) by name, each (n,): ranks among other draws.

    They are of log p, of coordinates and principal axes, and of distances from the middle on them.
    """
    ranks = {"log density": _rank(p.log_prob(fitting), p.log_prob(y))}
    coordinates = torch.eye(y.shape[1], dtype=y.dtype)
    lines = {"z": coordinates, "axis": proposal.axes()}
    for line, directions in lines.items():
        others = (fitting - proposal.loc) @ directions
        values = (y - proposal.loc) @ directions
        for d, (other, value) in enumerate(zip(others.T, values.T, strict=True)):
            ranks[f"{line}[{d}]"] = _rank(other, value)
            ranks[f"|{line}[{d}]|"] = _rank(other.abs(), value.abs())
    return ranks


def _rank(others: Tensor, values: Tensor) -> Tensor:
    """The share of `others` below each value, ties by half."""
    ordered = others.sort().values
    values = values.contiguous()
    below = torch.searchsorted(ordered, values, right=False)
    not_above = torch.searchsorted(ordered, values, right=True)
    return (below + not_above).double() / (2 * len(others))


def _score(differences: Tensor) -> float:
    """Mean over standard error; 0 where nothing has moved."""
    error = float(differences.square().mean().sqrt()) / math.sqrt(len(differences))
    return float(differences.mean()) / error if error else 0.0


def prior_draws(vae: VAE, seed: int) -> Finding:
    """Whether the draws of a user's own prior are from its density; see `samples_match_density`."""
    name = "draws of the prior"
    try:
        with evaluation(vae):
            match = samples_match_density(vae.prior(), seed=seed)
    except ValueError as error:
        return Finding(name=name, verdict="none", meaning=str(error))
    return Finding.judged(
        match.p_value >= SMALLEST_P,
        "fail",
        name=name,
        number=match.p_value,
        unit="p",
        threshold=SMALLEST_P,
        side="at least",
        source="exchangeable pairs of draws, Besag and Clifford 1989",
        passed="they are from its density",
        failed=f"they are not from its density, as {match.quantity} shows: samples of the model "
        "and log p(x) belong to two distributions",
        remedy="correct sample or log_prob of the prior",
        python="pv.analysis.samples_match_density(vae.prior())",
    )
