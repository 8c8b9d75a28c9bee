"""Where the draws of importance sampling come from: the guide, or what has heavier tails than the
guide.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

import pyro.distributions as dist
import torch
from pydantic import Field, PositiveFloat, PositiveInt, TypeAdapter, ValidationError
from torch import Tensor
from torch.distributions import (
    AffineTransform,
    Distribution,
    Independent,
    Normal,
    TransformedDistribution,
    constraints,
)

from pyro_vae.analysis.fitted import posterior_of
from pyro_vae.analysis.marginal_likelihood.refinement import fit_normal, moments
from pyro_vae.registry import Choice, Options, Registry
from pyro_vae.vae import VAE

PROPOSALS = Registry("proposal")

Even = Annotated[int, Field(ge=2, multiple_of=2)]
Share = Annotated[float, Field(gt=0, lt=1)]
Named = str | Mapping[str, Any] | Callable[[VAE, Tensor], Distribution]


class Proposal(ABC):
    """From a fitted model and rows (n, *data_shape) to a distribution over z with batch shape (n,)
    and a density.
    """

    @abstractmethod
    def __call__(self, vae: VAE, rows: Tensor) -> Distribution:
        """The distribution that the draws of the rows come from."""

    def each(self, vae: VAE, rows: Tensor) -> list[Distribution]:
        """One distribution a row, of batch shape (1,), so that each row is drawn under its own
        seed.
        """
        return [self(vae, row) for row in rows.split(1)]


@PROPOSALS.register("guide")
class Guide(Proposal):
    """q(z | x) itself."""

    def __call__(self, vae: VAE, rows: Tensor) -> Distribution:
        return posterior_of(vae, rows)

    def each(self, vae: VAE, rows: Tensor) -> list[Distribution]:
        """Where the first row's is normal, the others are encoded together."""
        first, others = self(vae, rows[:1]), rows[1:]
        if as_normal(first) is None or not len(others):
            return [first, *(self(vae, row) for row in others.split(1) if len(row))]
        normal: Any = as_normal(self(vae, others))
        parts = zip(normal.loc.split(1), normal.scale.split(1), strict=True)
        return [first, *(dist.Normal(*part).to_event(1) for part in parts)]


@PROPOSALS.register("defensive")
class Defensive(Proposal):
    """(1 - a) q(z | x) + a p(z): where the likelihood is bounded, so are the weights, by max p(x |
    z) / a.

    References:
        Safe and Effective Importance Sampling (Owen, Zhou, 2000).

    Arguments:
        weight: a.
    """

    def __init__(self, *, weight: Share = 0.1) -> None:
        self.weight = weight

    def __call__(self, vae: VAE, rows: Tensor) -> Distribution:
        return Mixture(posterior_of(vae, rows), vae.prior(), self.weight)


@PROPOSALS.register("widened")
class Widened(Proposal):
    """The distribution of m + f (z - m) for z ~ q(z | x) of mean m: every standard deviation is f
    times as large.

    In d dimensions a factor f that was not needed costs: of K draws from a widened normal posterior
    about K ((2 f² - 1) / f⁴)^(d / 2) count.

    Arguments:
        factor: f.
    """

    def __init__(self, *, factor: PositiveFloat = 1.2) -> None:
        self.factor = factor

    def __call__(self, vae: VAE, rows: Tensor) -> Distribution:
        q = posterior_of(vae, rows)
        about_the_mean = AffineTransform(
            (1 - self.factor) * moments(q)[0], self.factor, event_dim=1, cache_size=1
        )
        return TransformedDistribution(q, [about_the_mean])


@PROPOSALS.register("refined")
class Refined(Proposal):
    """(1 - a) t(z) + a q(z | x): a Student t about the normal that the row's own ELBO prefers
    (`fit_normal`).

    The fit finds one mode of a posterior that has several; so a share of the draws comes from the
    guide, and no weight is above 1 / a times what the guide would give it. It costs as much as
    steps × num_particles draws and their gradients, and the density of the guide at any z.

    References:
        Safe and Effective Importance Sampling (Owen, Zhou, 2000), for the mixture.

    Arguments:
        weight: a.
        steps, lr, num_particles: of `fit_normal`.
        df: degrees of freedom of the Student t.
        factor: what the standard deviations of the fit are multiplied by.
    """

    def __init__(
        self,
        *,
        weight: Share = 0.2,
        steps: PositiveInt = 50,
        lr: PositiveFloat = 0.1,
        num_particles: Even = 16,
        df: PositiveFloat = 20.0,
        factor: PositiveFloat = 1.0,
    ) -> None:
        self.weight, self.df, self.factor = weight, df, factor
        self.fitting: dict[str, Any] = {"steps": steps, "lr": lr, "num_particles": num_particles}

    def __call__(self, vae: VAE, rows: Tensor) -> Distribution:
        return self._mixed(vae, rows, *fit_normal(vae, rows, **self.fitting))

    def each(self, vae: VAE, rows: Tensor) -> list[Distribution]:
        """All rows are fitted together, which is faster."""
        parts = rows, *fit_normal(vae, rows, **self.fitting)
        return [
            self._mixed(vae, *one) for one in zip(*(part.split(1) for part in parts), strict=True)
        ]

    def _mixed(self, vae: VAE, rows: Tensor, loc: Tensor, scale_tril: Tensor) -> Distribution:
        fitted = dist.MultivariateStudentT(
            torch.as_tensor(self.df).to(loc), loc, self.factor * scale_tril
        )
        return Mixture(fitted, posterior_of(vae, rows), self.weight)


class Own(Proposal):
    """A user's function of model and rows, checked."""

    def __init__(self, function: Callable[[VAE, Tensor], Distribution]) -> None:
        self.function = function

    def __call__(self, vae: VAE, rows: Tensor) -> Distribution:
        q: Any = self.function(vae, rows)
        expected = (len(rows),), (vae.spec.latent_dim,)
        got = (
            (tuple(q.batch_shape), tuple(q.event_shape))
            if isinstance(q, Distribution)
            else type(q).__name__
        )
        if got != expected:
            raise ValueError(
                f"proposal: expected a Distribution with batch and event shape {expected}, got "
                f"{got} for {len(rows)} row(s); declare event dimensions with .to_event(1)"
            )
        return q


class Mixture(Distribution):
    """(1 - a) p₀ + a p₁, of which p₁ may be the same for all rows.

    Arguments:
        first, second: p₀ of batch shape (n,), and p₁ of that or none.
        weight: a.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}

    def __init__(self, first: Distribution, second: Distribution, weight: float) -> None:
        self.first, self.second, self.weight = first, second, weight
        super().__init__(first.batch_shape, first.event_shape, validate_args=False)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        shape = torch.Size(sample_shape)
        first = self.first.sample(shape)
        second = self.second.sample(shape if self.second.batch_shape else shape + self.batch_shape)
        takes_second = torch.rand(first.shape[:-1], device=first.device) < self.weight
        return torch.where(takes_second.unsqueeze(-1), second, first)

    def log_prob(self, value: Tensor) -> Tensor:
        weight = torch.tensor(self.weight, dtype=torch.float64)
        first, second = self.first.log_prob(value), self.second.log_prob(value)
        return torch.logaddexp(first + float((-weight).log1p()), second + float(weight.log()))


def as_normal(q: Any) -> Normal | None:
    """The independent normals that q is made of, whose draws are loc + scale ε; None for any other
    distribution.

    Example:
        >>> as_normal(dist.Normal(torch.zeros(2), 1.0).to_event(1))
        Normal(loc: torch.Size([2]), scale: torch.Size([2]))
    """
    if not isinstance(q, Independent) or len(q.event_shape) != 1:
        return None
    return q.base_dist if type(q.base_dist) in (Normal, dist.Normal) else None


def proposal_of(named: Named, place: str = "proposal") -> Proposal:
    """The proposal of a name, of a table {"kind": ..., options}, or of a user's own function.

    Raises:
        ValueError: an unknown kind or option; it starts with `place`.

    Example:
        >>> proposal_of({"kind": "widened", "factor": 1.1}).factor
        1.1
    """
    if callable(named) and not isinstance(named, Options):
        return named if isinstance(named, Proposal) else Own(named)
    if isinstance(named, Mapping) and named.get("kind") == "custom":
        raise ValueError(
            f"{place}: expected a kind, or the function itself, got kind 'custom'; pass the "
            "function"
        )
    try:
        options: Options = TypeAdapter(Annotated[Options, Choice(PROPOSALS)]).validate_python(named)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, (place, *first['loc'])))}: {first['msg']}") from error
    proposal: Proposal = PROPOSALS.build(options)
    return proposal
