"""The mixture of the guide's posteriors at learned pseudo-inputs."""

from typing import Any

import pyro.distributions as dist
import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.distributions import Distribution

from pyro_vae.data import Statistics
from pyro_vae.hooks import HasTopLevel, ModelParts, RefinesProposal
from pyro_vae.networks import Shape, evaluating
from pyro_vae.priors.base import PRIORS
from pyro_vae.priors.hierarchical import Hierarchical
from pyro_vae.priors.mixture import Marginal

JITTER = 0.1
"""Noise on pseudo-inputs that start from the same row as another one, in standard deviations."""


@PRIORS.register("vamp")
class Vamp(nn.Module):
    """p(z) = 1/K Σₖ q(z | uₖ), the aggregate posterior of K learned pseudo-inputs u.

    The pseudo-inputs start from training rows. They are in the units of the data but are learned in
    units of each feature's spread, u = mean + std · raw, and nothing keeps them inside the range of
    the data: the encoder takes any number. The guide that the prior mixes is the model's own, in
    its current mode (dropout and noise included), and is no submodule of the prior: it appears once
    among the parameters of the model. A call encodes K rows, and a density costs K densities.

    In a model with a context it is p(z) = 1/K Σₖ q(z | uₖ, cₖ), the same for every context. cₖ is
    fixed: that of the row from which uₖ starts. An unknown label of it becomes one of the classes,
    each for as many pseudo-inputs, and random effects are at the means of q(u).

    References:
        VAE with a VampPrior (Tomczak, Welling, 2018).

    Arguments:
        latent_dim: length of z.
        pseudo_inputs: K; beyond the number of training rows they start from rows again, with a
            little noise.

    Raises:
        ValueError: called outside a model, or with a guide whose density doesn't fit or that needs
            real rows.

    Example:
        >>> from pyro_vae import VAE
        >>> vae = VAE(data_shape=(8, 8), latent_dim=2, prior={"kind": "vamp", "pseudo_inputs": 50})
        >>> vae.prior.pseudo_inputs.shape, vae.prior().sample((3,)).shape
        (torch.Size([50, 8, 8]), torch.Size([3, 2]))
    """

    raw: nn.Parameter
    mean: Tensor
    std: Tensor
    contexts: Tensor

    def __init__(
        self,
        latent_dim: int,
        *,
        pseudo_inputs: PositiveInt = 500,
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.components = pseudo_inputs
        # in a tuple, where nn.Module doesn't look for submodules
        self._guide: tuple[nn.Module, ...] = ()
        self._programs: tuple[Any, ...] = ()

    def pyro_vae_bind(self, parts: ModelParts) -> None:
        """Mix the guide of `parts`; the pseudo-inputs are random rows until the first `fit`."""
        # this prior may be that of the top level, z₂ of z = (z₁, z₂)
        whole = parts.prior if isinstance(parts.prior, Hierarchical) else self
        self._guide = (parts.posterior,)
        self._programs = ()
        self._make_inputs(_row_shape(parts.likelihood, whole.latent_dim))

    def pyro_vae_bind_programs(self, model: Any, guide: Any) -> None:
        """Mix q(z | u, c); until the first `fit` the numbers of all contexts are 0."""
        self._guide = (guide.posterior,)
        self._make_inputs(model.split.data_shape)
        context = model.split.context
        self._programs = (guide,) if context.encoder else ()
        if not self._programs:
            return
        self._classes = context.classes or 0
        zeros = torch.zeros(self.components, context.size)
        self.register_buffer("contexts", zeros.to(self.mean))

    def _make_inputs(self, shape: Shape) -> None:
        """Random pseudo-inputs for rows of this shape, unless there are some."""
        (posterior,) = self._guide
        if isinstance(getattr(posterior, "family", None), RefinesProposal):
            raise ValueError(
                "vamp: pseudo-inputs are no rows, so they have no p(u | z) by which guide "
                "'semi_amortized' could refine q(z | u); take the guide that it wraps, or another "
                "prior"
            )
        if not hasattr(self, "raw") or self.raw.shape[1:] != shape:
            like = next(posterior.parameters(), torch.empty(()))
            self.raw = nn.Parameter(torch.randn(self.components, *shape).to(like))
            self.register_buffer("mean", torch.zeros(shape).to(like))
            self.register_buffer("std", torch.ones(shape).to(like))

    def pyro_vae_start(self, data: Statistics) -> None:
        """The pseudo-inputs become training rows; a feature that never varies keeps its unit."""
        self.mean.copy_(data.mean)
        self.std.copy_(torch.where(data.std > 0, data.std, 1.0))
        index = torch.arange(self.components, device=self.raw.device)
        rows = data.sample.to(self.raw)[index % len(data.sample)]
        rows = torch.where(rows.isnan(), self.mean, rows)  # of missing cells the mean
        is_repeated = (index >= len(data.sample)).reshape(-1, *[1] * self.mean.ndim)
        jitter = JITTER * is_repeated * torch.randn_like(rows)
        with torch.no_grad():
            self.raw.copy_((rows - self.mean) / self.std + jitter)
        if self._programs and data.contexts is not None:
            self._start_contexts(data.contexts)

    def _start_contexts(self, contexts: Tensor) -> None:
        """Take the contexts of the first rows, as the pseudo-inputs take the rows."""
        index = torch.arange(self.components, device=contexts.device)
        self.contexts.copy_(contexts[index % len(contexts)])
        if self._classes:
            label = self.contexts[:, -1]
            unknown = label.isnan()
            turns = unknown.cumsum(0) % self._classes
            self.contexts[:, -1] = torch.where(unknown, turns.to(label), label)

    @property
    def pseudo_inputs(self) -> Tensor:
        """u, in the data's units, shaped (K, *data_shape)."""
        return self.mean + self.std * self.raw

    def forward(self) -> Distribution:
        if not self._guide:
            raise ValueError(
                "vamp needs a guide: its density is a mixture of q(z | u); pass it to a model, "
                "VAE(prior='vamp', ...)"
            )
        q = self._posterior()
        if q.event_shape != (self.latent_dim,):
            q = _top_level(q)
        self._check(q)
        return Marginal(self.raw.new_zeros(self.components).log_softmax(0), q)

    def _posterior(self) -> Any:
        """q(z | u), of a model with a context q(z | u, c), for all pseudo-inputs."""
        if self._programs:
            return self._programs[0].q_z(self.pseudo_inputs, self.contexts)
        return self._guide[0](self.pseudo_inputs)

    def _check(self, q: Distribution) -> None:
        if isinstance(q, dist.Delta):
            raise ValueError(
                "vamp: expected a guide with a density, got points (guide 'delta'); take "
                "'mean_field'"
            )
        expected = ((self.components,), (self.latent_dim,))
        got = (tuple(q.batch_shape), tuple(q.event_shape))
        if got != expected:
            raise ValueError(
                f"vamp: expected of the guide, for {self.components} pseudo-inputs, batch and "
                f"event shape {expected[0]} and {expected[1]}, got {got[0]} and {got[1]}; on the "
                "top level of a prior 'hierarchical' take the guide 'hierarchical', top-down, with "
                "the same top_dim"
            )

    def extra_repr(self) -> str:
        given = "uₖ, cₖ" if self._programs else "uₖ"
        return f"z ~ 1/{self.components} Σₖ q(z | {given})"


def _top_level(q: Distribution) -> Distribution:
    """q(z₂ | u) of a guide over two levels z = (z₁, z₂), for the prior of the top level."""
    if not isinstance(q, HasTopLevel):
        return q
    top = q.pyro_vae_top()
    if top is None:
        return q
    return top


def _row_shape(likelihood: nn.Module, latent_dim: int) -> Shape:
    """The shape of one row under p(x | z), from a call in evaluation mode."""
    weight = next(likelihood.parameters(), torch.zeros(()))
    with torch.no_grad(), evaluating(likelihood):
        shape: Shape = tuple(likelihood(weight.new_zeros(2, latent_dim)).event_shape)
    return shape
