"""A model as one of whole rows (x, c), for tools that know rows and draws and nothing else."""

from typing import Any, ClassVar

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Size, Tensor, nn
from torch.distributions import (
    Distribution,
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
    constraints,
)

from pyro_vae.data.given_rows import GivenRows
from pyro_vae.inputs import model_rows
from pyro_vae.labels import label_of, with_label
from pyro_vae.likelihoods.base import given
from pyro_vae.model_and_guide import Model
from pyro_vae.networks import evaluating
from pyro_vae.priors.conditional import ConditionalNormal
from pyro_vae.priors.standard_normal import StandardNormal
from pyro_vae.spec import Spec
from pyro_vae.vae import VAE


def with_context(vae: VAE, x: Any, context: Any = None, name: str = "x") -> Any:
    """The rows x with their contexts as one vector each, which any tool passes on.

    x itself for a model without a context. An unknown label is the most probable one under
    q(y | x). `name` is that of the argument x, for messages.

    Raises:
        ValueError: contexts that don't fit the model or the rows, or for a model that has none.
    """
    if vae.spec.context is None and context is None:
        return x
    rows = model_rows(vae, x, name=name, context=context)
    assert isinstance(rows, GivenRows)
    if vae.spec.context is None or vae.spec.context.label is None:
        return rows
    return with_likely_labels(vae, rows)


def with_likely_labels(vae: VAE, rows: GivenRows) -> GivenRows:
    """The rows, with the most probable label of q(y | x) where it is unknown."""
    contexts: list[Tensor] = []
    with torch.no_grad(), evaluating(vae):
        for batch in rows.batches(1024):
            x, given = vae.model.split(batch)
            assert given is not None
            label = label_of(given)
            likely = vae.guide.log_q_y(x, given).argmax(-1).to(label.dtype)
            filled = torch.where(label.isnan(), likely, label)
            contexts.append(with_label(given, filled))
    return GivenRows(rows.x, torch.cat(contexts))


def with_x(vae: VAE, rows: Tensor, x: Tensor) -> Tensor:
    """Other rows x with the contexts of these rows, which are (x, c) in a model with a context."""
    _, context = vae.model.split(rows)
    return x if context is None else torch.cat([x.flatten(1), context], -1)


def of_rows(vae: VAE) -> Any:
    """The model as a function of whole rows (x, c); a model without a context as it is."""
    return vae if vae.spec.context is None else RowsModel(vae)


class RowsModel(nn.Module):
    """p(z) p(x | z, c) as a model of rows (x, c), whose prior is the same for all rows.

    With p(z | c) = N(μ(c), diag σ(c)²) it is that of u = (z - μ(c)) / σ(c) ~ N(0, I): p(x | c) is
    the same integral over u, and q(u | x, c) = q(z | x, c) ∏ σᵢ(c).

    Example:
        >>> vae = VAE(data_shape=(4,), latent_dim=2, context={"dim": 1})
        >>> rows, u = torch.zeros(3, 5), torch.zeros(7, 3, 2)
        >>> RowsModel(vae).likelihood(u).log_prob(rows).shape
        torch.Size([7, 3])
    """

    def __init__(self, vae: VAE) -> None:
        super().__init__()
        self.vae = vae
        prior = vae.prior
        if isinstance(prior, ConditionalNormal):
            like = next(vae.parameters())
            prior = StandardNormal(vae.spec.latent_dim).to(like)
        self.prior = prior
        self.likelihood = RowsLikelihood(vae.model)

    @property
    def spec(self) -> Spec:
        return self.vae.spec

    @property
    def model(self) -> Model:
        return self.vae.model

    @property
    def guide(self) -> Any:
        return self.vae.guide

    @property
    def initialized(self) -> Tensor:
        return self.vae.initialized

    def posterior(self, rows: Tensor) -> Distribution:
        """q(u | x, c) of rows (x, c)."""
        x, context = self.vae.model.split(rows)
        q = self.vae.guide.q_z(x, context)
        if not isinstance(self.vae.prior, ConditionalNormal) or context is None:
            return q
        return whitened(q, *self.vae.prior.moments(context))


class RowsLikelihood(nn.Module):
    """`likelihood(u)` is p(x | z, c) as a density of rows (x, c)."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model
        inner: Any = getattr(model.likelihood, "_orig_mod", model.likelihood)
        self.family = getattr(inner, "family", None)
        self.missing = getattr(inner, "missing", None)

    def forward(self, u: Tensor) -> "OfRows":
        return OfRows(self.model, u)


def density_of_x(seen: Any, z: Tensor, rows: Tensor) -> tuple[Distribution, Tensor]:
    """p(x | z), or p(x | z, c) of a model of whole rows, and the x of these rows.

    Arguments:
        seen: a model, or a model of whole rows.
        z: draws, (..., n, latent_dim).
        rows: x, (n, *data_shape), or (x, c).
    """
    p = seen.likelihood(z)
    if not isinstance(p, OfRows):
        return p, rows
    x, context = seen.model.split(rows)
    return p.at(context), x


class OfRows(TorchDistribution):
    """p(x | z, c) as a density of rows (x, c); what it is for given rows is `pyro_vae_given`.

    Arguments:
        model: the generative model.
        u: draws of its standardised latent variable, (..., n, latent_dim).
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.real_vector

    def __init__(self, model: Model, u: Tensor) -> None:
        self.model, self.u = model, u
        super().__init__(u.shape[:-1], Size(), validate_args=False)

    def pyro_vae_given(self, rows: Tensor) -> Distribution:
        """p(x | z, c) for the contexts of these rows."""
        x, context = self.model.split(rows)
        return given(self.at(context), x)

    def log_prob(self, rows: Tensor) -> Tensor:
        x, context = self.model.split(rows)
        return self.at(context).log_prob(x)

    def at(self, context: Tensor | None) -> Distribution:
        """p(x | z, c) as a density of x."""
        z = self.u
        prior = self.model.prior
        if isinstance(prior, ConditionalNormal) and context is not None:
            loc, scale = prior.moments(context)
            z = loc + scale * z
        return self.model.p_x(z, context)


def whitened(q: Any, loc: Tensor, scale: Tensor) -> Distribution:
    """The distribution of (z - loc) / scale for z ~ q, a normal where q is one.

    Example:
        >>> q = dist.Normal(torch.ones(3, 2), 2.0).to_event(1)
        >>> whitened(q, torch.ones(3, 2), 2 * torch.ones(3, 2)).stddev[0]
        tensor([1., 1.])
    """
    base = getattr(q, "base_dist", None)
    if isinstance(q, Independent) and isinstance(base, Normal):
        return dist.Normal((base.loc - loc) / scale, base.scale / scale).to_event(1)
    if isinstance(q, LowRankMultivariateNormal):
        factor = q.cov_factor / scale.unsqueeze(-1)
        diagonal = q.cov_diag / scale.square()
        return dist.LowRankMultivariateNormal((q.loc - loc) / scale, factor, diagonal)
    if isinstance(q, MultivariateNormal):
        tril = q.scale_tril / scale.unsqueeze(-1)
        return dist.MultivariateNormal((q.loc - loc) / scale, scale_tril=tril)
    return Whitened(q, loc, scale)


class Whitened(TorchDistribution):
    """The distribution of u = (z - loc) / scale.

    Arguments:
        of: the distribution of z, event shape (latent_dim,).
        loc, scale: (n, latent_dim).

    Example:
        >>> of = dist.Laplace(torch.ones(3, 2), 2.0).to_event(1)
        >>> Whitened(of, torch.ones(3, 2), 2 * torch.ones(3, 2)).mean[0]
        tensor([0., 0.])
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.real_vector

    def __init__(self, of: Any, loc: Tensor, scale: Tensor) -> None:
        self.of, self.loc, self.scale = of, loc, scale
        super().__init__(of.batch_shape, of.event_shape, validate_args=False)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return bool(self.of.has_rsample)

    @property
    def mean(self) -> Tensor:
        mean: Tensor = (self.of.mean - self.loc) / self.scale
        return mean

    @property
    def variance(self) -> Tensor:
        variance: Tensor = self.of.variance / self.scale.square()
        return variance

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        drawn: Tensor = (self.of.sample(sample_shape) - self.loc) / self.scale
        return drawn

    def rsample(self, sample_shape: Any = Size()) -> Tensor:
        drawn: Tensor = (self.of.rsample(sample_shape) - self.loc) / self.scale
        return drawn

    def log_prob(self, u: Tensor) -> Tensor:
        density: Tensor = self.of.log_prob(self.loc + self.scale * u)
        return density + self.scale.log().sum(-1)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "Whitened":
        shape = Size(batch_shape)
        full = (*shape, *self.event_shape)
        return Whitened(
            self.of.expand(shape), self.loc.expand(full), self.scale.expand(full)
        )
