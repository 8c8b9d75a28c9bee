"""The term that asks the latent variable to carry nothing of the context."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_vae.model_and_guide import Guide, Model
from pyro_vae.objectives.base import Objective, Program, Terms
from pyro_vae.priors.conditional import ConditionalNormal


@dataclass(frozen=True, kw_only=True)
class Independent:
    """An objective, plus λ times the kernel alignment of the draws of z with the contexts.

    loss(x) = inner(x) + λ HSIC(u, c) / √(HSIC(u, u) HSIC(c, c))

    over the rows of the batch: 0 where draws and contexts are independent, 1 where one is the
    other. HSIC is the Hilbert-Schmidt independence criterion with normal kernels of variance
    latent_dim for u and of the width of e(c) for contexts. u is z, or (z - μ(c)) / σ(c) where the
    prior takes the context.

    References:
        Measuring Statistical Dependence with Hilbert-Schmidt Norms (Gretton, Bousquet, Smola,
        Schölkopf, 2005).
        Information Constraints on Auto-Encoding Variational Bayes (Lopez, Regier, Jordan, Yosef,
        2018).

    Arguments:
        inner: the objective.
        weight: λ, in nats.
    """

    inner: Objective
    weight: float

    def __call__(
        self, model: Program, guide: Program, x: Tensor, beta: float = 1.0
    ) -> Terms:
        assert isinstance(model, Model)
        assert isinstance(guide, Guide)
        terms = self.inner(model, guide, x, beta)
        rows, context = model.split(x)
        assert context is not None
        u = guide.q_z(rows, context).rsample()
        features = model.features
        resolved = model.resolved(context)
        assert resolved is not None
        if isinstance(model.prior, ConditionalNormal):
            loc, scale = model.prior.moments(resolved)
            u = (u - loc) / scale
            features = features or model.prior.features
        assert features is not None
        given = torch.cat([features(resolved).detach(), *_levels(model, context)], -1)
        return terms._replace(loss=terms.loss + self.weight * alignment(u, given))


def _levels(model: Model, context: Tensor) -> Iterator[Tensor]:
    """The levels of random effects, one-hot: their vectors start at 0, and may stay there."""
    for effect in [] if model.effects is None else model.effects.effects:
        every = torch.arange(effect.levels + 1, device=context.device)
        is_level = context[..., effect.position].unsqueeze(-1) == every
        yield is_level.to(context.dtype)


def alignment(u: Tensor, given: Tensor) -> Tensor:
    """HSIC(u, c) / √(HSIC(u, u) HSIC(c, c)) of paired rows, between 0 and 1.

    Example:
        >>> u = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
        >>> bool(torch.isclose(alignment(u, u), torch.tensor(1.0)))
        True
    """
    of_u, of_given = _centred_kernel(u), _centred_kernel(given)
    norms = of_u.square().sum() * of_given.square().sum()
    return (of_u * of_given).sum() / norms.clamp_min(1e-12).sqrt()


def _centred_kernel(points: Tensor) -> Tensor:
    """exp(-|a - b|² / 2d) for all pairs of rows in d dimensions, less its means, (n, n)."""
    squares = points.square().sum(-1)
    inner = points @ points.T
    distance = (squares.unsqueeze(0) + squares.unsqueeze(1) - 2 * inner).clamp_min(0)
    kernel = torch.exp(-distance / (2 * points.shape[-1]))
    return kernel - kernel.mean(0) - kernel.mean(1, keepdim=True) + kernel.mean()
