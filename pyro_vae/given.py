"""A model as one of whole rows (x, c), for tools that know rows and draws and nothing else."""

from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution
from torch import Size, Tensor, nn
from torch.distributions import Distribution, constraints

from pyro_vae.data.given_rows import GivenRows
from pyro_vae.inputs import model_rows, rows_of
from pyro_vae.labels import label_of, with_label
from pyro_vae.likelihoods.base import given
from pyro_vae.model_and_guide import Model
from pyro_vae.networks import evaluating
from pyro_vae.networks.context import Resolved
from pyro_vae.priors.conditional import ConditionalNormal
from pyro_vae.priors.standard_normal import StandardNormal
from pyro_vae.row_distributions import whitened, with_noise
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


def complete_rows(vae: VAE, rows: Tensor) -> Tensor:
    """Checked rows (x, c), with the most probable label of q(y | x, c) where it is unknown."""
    if vae.model.label is None:
        return rows
    return torch.cat(list(rows_of(vae, with_context(vae, rows), "x")))


def with_drawn_levels(vae: VAE, context: Tensor | None) -> Resolved | None:
    """Contexts of rows to draw, in which a new level of a random effect is drawn for each row."""
    if context is None or vae.model.effects is None:
        return vae.model.resolved(context)
    size = sum(effect.dim for effect in vae.model.effects.effects)
    return vae.model.resolved(
        context, torch.randn_like(context[:, :1].expand(-1, size))
    )


def with_x(vae: VAE, rows: Tensor, x: Tensor) -> Tensor:
    """Other rows x with the contexts of these rows, which are (x, c) in a model with a context."""
    _, context = vae.model.split(rows)
    return x if context is None else torch.cat([x.flatten(1), context], -1)


def contexts_of_rows(rows: Any) -> Tensor | None:
    """The contexts of rows that have some."""
    return rows.contexts if isinstance(rows, GivenRows) else None


def of_rows(vae: VAE, contexts: Tensor | None = None) -> Any:
    """The model as a function of whole rows (x, c); a model without a context as it is.

    Arguments:
        vae: the model.
        contexts: of the rows; where a level of a random effect among them is new, its vector is
            part of the latent variable.
    """
    if vae.spec.context is None:
        return vae
    effects = vae.spec.context.effects
    has_new = contexts is not None and any(
        bool((contexts[..., effect.position] == effect.levels).any())
        for effect in effects
    )
    return RowsModel(vae, sum(effect.dim for effect in effects) if has_new else 0)


class RowsModel(nn.Module):
    """p(z) p(x | z, c) as a model of rows (x, c), whose prior is the same for all rows.

    With p(z | c) = N(μ(c), diag σ(c)²) it is that of u = (z - μ(c)) / σ(c) ~ N(0, I): p(x | c) is
    the same integral over u, and q(u | x, c) = q(z | x, c) ∏ σᵢ(c).

    Random effects are at the means of q(u). Where levels may be new, their vectors in units of s
    stand at the end of the latent variable: (u, ε), ε ~ N(0, I).

    Arguments:
        vae: the model.
        new: the numbers of ε; 0 where no level is new.

    Example:
        >>> vae = VAE(data_shape=(4,), latent_dim=2, context={"dim": 1})
        >>> rows, u = torch.zeros(3, 5), torch.zeros(7, 3, 2)
        >>> RowsModel(vae).likelihood(u).log_prob(rows).shape
        torch.Size([7, 3])
    """

    def __init__(self, vae: VAE, new: int = 0) -> None:
        super().__init__()
        self.vae = vae
        self.new = new
        prior = vae.prior
        if isinstance(prior, ConditionalNormal):
            like = next(vae.parameters())
            prior = StandardNormal(vae.spec.latent_dim).to(like)
        self.prior = RowsPrior(prior, new) if new else prior
        self.likelihood = RowsLikelihood(vae.model, new)

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
            return with_noise(q, self.new)
        given = self.vae.model.resolved(context)
        assert given is not None
        u = whitened(q, *self.vae.prior.moments(given))
        return with_noise(u, self.new)


class RowsPrior(nn.Module):
    """`prior()` is p(z) beside standard normal numbers ε."""

    def __init__(self, prior: nn.Module, new: int) -> None:
        super().__init__()
        self.prior, self.new = prior, new

    def forward(self) -> Distribution:
        return with_noise(self.prior(), self.new)


class RowsLikelihood(nn.Module):
    """`likelihood(u)` is p(x | z, c) as a density of rows (x, c)."""

    def __init__(self, model: Model, new: int = 0) -> None:
        super().__init__()
        self.model, self.new = model, new
        inner: Any = getattr(model.likelihood, "_orig_mod", model.likelihood)
        self.family = getattr(inner, "family", None)
        self.missing = getattr(inner, "missing", None)

    def forward(self, u: Tensor) -> "OfRows":
        return OfRows(self.model, u, self.new)


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
        u: draws of its standardised latent variable, (..., n, latent_dim + new).
        new: the numbers at its end that are vectors of new levels.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.real_vector

    def __init__(self, model: Model, u: Tensor, new: int = 0) -> None:
        self.model, self.u, self.new = model, u, new
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
        z, noise = self.u, None
        if self.new:
            z, noise = self.u[..., : -self.new], self.u[..., -self.new :]
        prior = self.model.prior
        placed = self.model.resolved(context, noise)
        if isinstance(prior, ConditionalNormal) and placed is not None:
            loc, scale = prior.moments(placed)
            z = loc + scale * z
        return self.model.p_x(z, placed)
