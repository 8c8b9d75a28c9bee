"""What importance sampling draws from: the guide, or a distribution with heavier tails."""

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
from pyro_vae.kind_options import Options
from pyro_vae.registry import Choice, Registry
from pyro_vae.vae import VAE

PROPOSALS = Registry("proposal")

Even = Annotated[int, Field(ge=2, multiple_of=2)]
Share = Annotated[float, Field(gt=0, lt=1)]
Named = str | Mapping[str, Any] | Callable[[VAE, Tensor], Distribution]


class Proposal(ABC):
    """From a model and rows (n, *data_shape) to a distribution over z of batch shape (n,)."""

    @abstractmethod
    def __call__(self, vae: VAE, rows: Tensor) -> Distribution:
        """The distribution that the draws of the rows come from."""

    def each(self, vae: VAE, rows: Tensor) -> list[Distribution]:
        """A distribution of batch shape (1,) for each row, which is drawn under its own seed."""
        return [self(vae, row) for row in rows.split(1)]


@PROPOSALS.register("guide")
class Guide(Proposal):
    """q(z | x) itself."""

    def __call__(self, vae: VAE, rows: Tensor) -> Distribution:
        return posterior_of(vae, rows)

    def each(self, vae: VAE, rows: Tensor) -> list[Distribution]:
        """Where that of the first row is normal, the others are encoded together."""
        first = self(vae, rows[:1])
        others = rows[1:]
        if not len(others):
            return [first]
        if as_normal(first) is None:
            return [first, *(self(vae, row) for row in others.split(1))]
        normal: Any = as_normal(self(vae, others))
        parts = zip(normal.loc.split(1), normal.scale.split(1), strict=True)
        return [first, *(dist.Normal(loc, scale).to_event(1) for loc, scale in parts)]


@PROPOSALS.register("defensive")
class Defensive(Proposal):
    """(1 - a) q(z | x) + a p(z): weights are at most max p(x | z) / a, where that is bounded.

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
    """The distribution of m + f (z - m) for z ~ q(z | x) of mean m.

    Every standard deviation is f times as large. In d dimensions a factor f that was not needed
    costs: of K draws from a widened normal posterior about K ((2 f² - 1) / f⁴)^(d / 2) are
    effective.

    Arguments:
        factor: f.
    """

    def __init__(self, *, factor: PositiveFloat = 1.2) -> None:
        self.factor = factor

    def __call__(self, vae: VAE, rows: Tensor) -> Distribution:
        q = posterior_of(vae, rows)
        mean, _ = moments(q)
        shift = (1 - self.factor) * mean
        widening = AffineTransform(shift, self.factor, event_dim=1, cache_size=1)
        return TransformedDistribution(q, [widening])


@PROPOSALS.register("refined")
class Refined(Proposal):
    """(1 - a) t(z) + a q(z | x): a Student t about the normal of maximal ELBO (`fit_normal`).

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
        self.weight = weight
        self.df = df
        self.factor = factor
        self.fitting: dict[str, Any] = {
            "steps": steps,
            "lr": lr,
            "num_particles": num_particles,
        }

    def __call__(self, vae: VAE, rows: Tensor) -> Distribution:
        loc, scale_tril = fit_normal(vae, rows, **self.fitting)
        return self._mixed(vae, rows, loc, scale_tril)

    def each(self, vae: VAE, rows: Tensor) -> list[Distribution]:
        """All rows are fitted together, which is faster."""
        loc, scale_tril = fit_normal(vae, rows, **self.fitting)
        parts = zip(rows.split(1), loc.split(1), scale_tril.split(1), strict=True)
        return [self._mixed(vae, *part) for part in parts]

    def _mixed(
        self,
        vae: VAE,
        rows: Tensor,
        loc: Tensor,
        scale_tril: Tensor,
    ) -> Distribution:
        df = torch.as_tensor(self.df).to(loc)
        fitted = dist.MultivariateStudentT(df, loc, self.factor * scale_tril)
        return Mixture(fitted, posterior_of(vae, rows), self.weight)


class Own(Proposal):
    """A user's function of model and rows, checked."""

    def __init__(self, function: Callable[[VAE, Tensor], Distribution]) -> None:
        self.function = function

    def __call__(self, vae: VAE, rows: Tensor) -> Distribution:
        if vae.spec.context is not None:
            raise ValueError(
                "proposal: expected a name for a model with a context, got your own function, "
                "which knows no context; take 'refined' or 'defensive'"
            )
        q: Any = self.function(vae, rows)
        expected = ((len(rows),), (vae.spec.latent_dim,))
        got: Any = type(q).__name__
        if isinstance(q, Distribution):
            got = (tuple(q.batch_shape), tuple(q.event_shape))
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

    def __init__(
        self,
        first: Distribution,
        second: Distribution,
        weight: float,
    ) -> None:
        self.first = first
        self.second = second
        self.weight = weight
        super().__init__(first.batch_shape, first.event_shape, validate_args=False)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        shape = torch.Size(sample_shape)
        first = self.first.sample(shape)
        # a distribution that is the same for all rows is drawn from for each row
        second_shape = shape if self.second.batch_shape else shape + self.batch_shape
        second = self.second.sample(second_shape)
        uniform = torch.rand(first.shape[:-1], device=first.device)
        takes_second = uniform < self.weight
        return torch.where(takes_second.unsqueeze(-1), second, first)

    def log_prob(self, value: Tensor) -> Tensor:
        weight = torch.tensor(self.weight, dtype=torch.float64)
        first = self.first.log_prob(value) + float((-weight).log1p())
        second = self.second.log_prob(value) + float(weight.log())
        return torch.logaddexp(first, second)


def as_normal(q: Any) -> Normal | None:
    """The independent normals that q consists of, with draws loc + scale ε; None for any other q.

    Example:
        >>> as_normal(dist.Normal(torch.zeros(2), 1.0).to_event(1))
        Normal(loc: torch.Size([2]), scale: torch.Size([2]))
    """
    if not isinstance(q, Independent) or len(q.event_shape) != 1:
        return None
    return q.base_dist if type(q.base_dist) in (Normal, dist.Normal) else None


def proposal_of(named: Named, argument: str = "proposal") -> Proposal:
    """The proposal of a name, of a table {"kind": ..., options}, or of a user's own function.

    Raises:
        ValueError: an unknown kind or option; the message starts with the name of the argument.

    Example:
        >>> proposal_of({"kind": "widened", "factor": 1.1}).factor
        1.1
    """
    if callable(named) and not isinstance(named, Options):
        return named if isinstance(named, Proposal) else Own(named)
    if isinstance(named, Mapping) and named.get("kind") == "custom":
        raise ValueError(
            f"{argument}: expected a kind, or the function itself, got kind 'custom'; pass the "
            "function"
        )
    try:
        adapter: TypeAdapter[Options] = TypeAdapter(
            Annotated[Options, Choice(PROPOSALS)]
        )
        options = adapter.validate_python(named)
    except ValidationError as error:
        first = error.errors()[0]
        location = ".".join(map(str, (argument, *first["loc"])))
        raise ValueError(f"{location}: {first['msg']}") from error
    proposal: Proposal = PROPOSALS.build(options)
    return proposal
