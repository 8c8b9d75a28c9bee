"""p(x, mask | z) of rows whose cells are missing because of their own values."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.distributions.utils import _sum_rightmost
from torch.nn.functional import logsigmoid

from pyro_vae.data import Statistics
from pyro_vae.hooks import HasMissingMechanism
from pyro_vae.likelihoods.mechanisms import Direction, Mechanism, OfShare
from pyro_vae.likelihoods.observed_cells import MissingAtRandom, ObservedCells
from pyro_vae.networks import Shape

EXPECTED = (
    "'normal' (covariance='diagonal', warp='none'), 'log_normal', 'bernoulli', 'categorical', "
    "'ordinal', or 'mixed' of these"
)


def mechanism_of(kind: str, family: nn.Module, direction: Direction) -> Mechanism:
    """P(missing | x) for a likelihood.

    Arguments:
        kind: of the likelihood, for messages.
        family: of the likelihood.
        direction: which values are missing more often.

    Raises:
        ValueError: a likelihood over whose missing cells no sum or integral is known.
    """
    mechanism = None
    if isinstance(family, HasMissingMechanism):
        mechanism = family.pyro_vae_missing_mechanism(direction)
    if mechanism is None:
        raise ValueError(no_mechanism(kind, family))
    return mechanism


def no_mechanism(kind: str, family: nn.Module | None = None) -> str:
    """What is wrong with a likelihood over whose missing cells no sum or integral is known."""
    got = repr(kind) if family is None else f"{kind!r} ({family.extra_repr()})"
    return (
        f"missing='self_masking': expected a likelihood whose missing cells can be integrated "
        f"over: {EXPECTED}, got {got}; take one of these, or missing='at_random'"
    )


class SelfMasking(MissingAtRandom):
    """What a likelihood needs for rows whose cells are missing because of their own values.

    Arguments:
        data_shape: shape of one row.
        support: of p(x | z).
        mechanism: P(missing | x).
    """

    def __init__(self, data_shape: Shape, support: Any, mechanism: Mechanism) -> None:
        super().__init__(data_shape, support)
        self.mechanism = mechanism

    def pyro_vae_start(self, data: Statistics) -> None:
        super().pyro_vae_start(data)
        self.mechanism.begin(data)

    def forward(self, p: Distribution) -> "SelfMaskedCells":
        return SelfMaskedCells(p, self.fill, self.mechanism)

    def independent(self, p: Distribution) -> "SelfMaskedCells":
        """Rows without dependence: cells are missing with the shares of the training rows."""
        share = OfShare(self.mechanism.start_logits())
        return SelfMaskedCells(p, self.fill, share)

    def lacking(self, x: Tensor, like: Tensor) -> Tensor:
        """The rows x, of which cells are missing by the mechanism."""
        is_missing = torch.rand_like(x) < self.mechanism.logits(x).sigmoid()
        return torch.where(is_missing, torch.nan, x)


class SelfMaskedCells(ObservedCells):
    """p(x, mask | z) of rows whose cells are missing because of their own values; nan is missing.

    log p(x_observed, mask | z) = Σ_{i observed} [log p(xᵢ | z) + log P(observed | xᵢ)]
                                + Σ_{i missing} log E[P(missing | xᵢ)],   xᵢ ~ p(xᵢ | z)

    Draws and means are those of p: complete rows.

    References:
        not-MIWAE: Deep Generative Modelling with Missing not at Random Data (Ipsen, Mattei,
        Frellsen, 2021).

    Arguments:
        base_dist: p(x | z), a product over cells.
        fill: a number inside the support for each cell of a row, (*event_shape).
        mechanism: P(missing | x).
    """

    def __init__(self, base_dist: Any, fill: Tensor, mechanism: Mechanism) -> None:
        super().__init__(base_dist, fill)
        self.mechanism = mechanism

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        if torch.Size(batch_shape) == self.batch_shape:
            return self
        return super(ObservedCells, self).expand(batch_shape, _instance)

    def over(self, base_dist: Any) -> "SelfMaskedCells":
        return SelfMaskedCells(base_dist, self.fill, self.mechanism)

    def log_prob(self, value: Tensor) -> Tensor:
        of_mask = self.mask_log_prob(value)
        return super().log_prob(value) + _sum_rightmost(of_mask, len(self.event_shape))

    def mask_log_prob(self, value: Tensor) -> Tensor:
        """log P(observed | xᵢ), or log E[P(missing | xᵢ)], of each cell."""
        filled, observed = self.filled(value)
        log_observed = logsigmoid(-self.mechanism.logits(filled))
        log_missing = self.mechanism.log_missing(self.base_dist)
        return torch.where(observed, log_observed, log_missing)

    def pyro_vae_given_observed(self, value: Tensor, observed: Tensor) -> Distribution:
        """p(x_m | z, missing); the observed cells add nothing, since cells are independent."""
        return self.mechanism.given_missing(self.base_dist)
