"""Random effects in the two Pyro programs: a vector of each level, drawn once for all rows.

    u_k ~ N(0, s² I),   q(u_k) = N(m_k, diag v_k),   k = 1, ..., K

Beside the K levels that are known there is one that is new, of which the data say nothing: its
q(u) is N(0, s² I).
"""

from collections.abc import Sequence
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from pyro_vae.networks.context import ContextFeatures, Resolved
from pyro_vae.networks.positive_numbers import (
    FLOOR,
    PositiveTensor,
    positive,
    raw_of,
)
from pyro_vae.spec.effect import Effect

ROWS = "pyro_vae_rows"
"""In the `infer` of a site that all rows share: the number of training rows."""
START = 0.1
"""The standard deviations of q(u) before training: draws differ little from the mean at first."""


class EffectPriors(nn.Module):
    """p(u) of the random effects of a model.

    Arguments:
        effects: of the context.

    Attributes:
        rows: N, the number of training rows of the last `fit`; 0 before.

    Example:
        >>> priors = EffectPriors([Effect("batch", 0, levels=3, dim=2, scale=0.5)])
        >>> priors.distributions()[0].event_shape
        torch.Size([4, 2])
    """

    rows: Tensor

    def __init__(self, effects: Sequence[Effect]) -> None:
        super().__init__()
        self.effects = tuple(effects)
        self.scales = nn.ModuleList(PositiveTensor((), one.scale) for one in effects)
        self.register_buffer("rows", torch.zeros((), dtype=torch.long))
        # in a tuple, where nn.Module doesn't look for submodules
        self._posteriors: tuple[EffectPosteriors, ...] = ()

    def distributions(self) -> list[Any]:
        """N(0, s² I) of each effect, for K levels and the new one: event shape (K + 1, dim)."""
        return [
            dist.Normal(torch.zeros_like(scale), scale)
            .expand([effect.levels + 1, effect.dim])
            .to_event(2)
            for effect, scale in zip(self.effects, self.each_scale(), strict=True)
        ]

    def each_scale(self) -> list[Tensor]:
        """s of each effect."""
        return [scale() for scale in self.scales]

    def means(self) -> list[Tensor]:
        """The means of q(u), of which tools make their answers."""
        return self._posteriors[0].means()

    def sampled(self, n: int) -> list[Tensor]:
        """The vectors of all levels, drawn at a site for each effect, in a program of n rows."""
        return _sampled(self.effects, self.distributions(), self.share(n))

    def share(self, n: int) -> Tensor:
        """N, over how many rows KL(q(u) ‖ p(u)) is spread; before the first `fit` n."""
        return torch.where(self.rows > 0, self.rows, n)


class EffectPosteriors(nn.Module):
    """q(u) of the random effects of a model.

    Arguments:
        effects: of the context.
    """

    def __init__(self, effects: Sequence[Effect]) -> None:
        super().__init__()
        self.effects = tuple(effects)
        shapes = [(effect.levels, effect.dim) for effect in effects]
        starts = [raw_of(start_of(effect)) for effect in effects]
        self.locs = nn.ParameterList(torch.zeros(shape) for shape in shapes)
        self.raw = nn.ParameterList(map(torch.full, shapes, starts))
        self._priors: tuple[EffectPriors, ...] = ()

    def distributions(self) -> list[Any]:
        """N(m_k, diag v_k) of each effect and level, and N(0, s² I) of the new one."""
        found = []
        scales = self._priors[0].each_scale()
        for mean, raw, scale in zip(self.means(), self.raw, scales, strict=True):
            new = scale.expand(1, raw.shape[1])
            sd = torch.cat([positive(raw), new])
            found.append(dist.Normal(mean, sd).to_event(2))
        return found

    def means(self) -> list[Tensor]:
        """m_k of each effect and level, and 0 for the new one, (K + 1, dim)."""
        return [pad(loc, (0, 0, 0, 1)) for loc in self.locs]

    def sampled(self, n: int) -> list[Tensor]:
        """The vectors of all levels, drawn at a site for each effect, in a program of n rows."""
        rows = self._priors[0].share(n)
        return _sampled(self.effects, self.distributions(), rows)


def bind(model: Any, guide: Any) -> None:
    """Let the effects of model and guide know each other, where there are some.

    A new level has the prior as q(u), and tools ask the model for the means of q(u).
    """
    if model.effects is None:
        return
    model.effects._posteriors = (guide.effects,)
    guide.effects._priors = (model.effects,)
    for module in (*model.modules(), *guide.modules()):
        if isinstance(module, ContextFeatures):
            module.has_effects = True


def resolved(
    priors: EffectPriors | EffectPosteriors | None,
    context: Tensor | Resolved | None,
    tables: Sequence[Tensor] | None = None,
    new: Tensor | None = None,
) -> Resolved | None:
    """Contexts with the vectors of random effects in the place of their levels.

    Arguments:
        priors: of the effects, or their posteriors; None where there are none.
        context: (..., C); resolved ones stay as they are.
        tables: the vectors of all levels for each effect, (K + 1, dim); None takes the means of
            q(u), of a new level 0.
        new: the vectors of new levels in units of s, (..., Σ dim), added to those.

    Example:
        >>> priors = EffectPriors([Effect("batch", 1, levels=2, dim=2, scale=1.0)])
        >>> table = torch.tensor([[1.0, 2.0], [3.0, 4.0], [0.0, 0.0]])
        >>> resolved(priors, torch.tensor([[0.5, 1.0]]), [table]).values
        tensor([[0.5000, 3.0000, 4.0000]])
    """
    if context is None or isinstance(context, Resolved):
        return context
    if priors is None:
        return Resolved(context)
    if tables is None:
        tables = priors.means()
    parts: list[Tensor] = []
    start = 0
    for effect, table in zip(priors.effects, tables, strict=True):
        parts.append(context[..., start : effect.position])
        parts.append(_looked_up(table, context[..., effect.position]))
        start = effect.position + 1
    parts.append(context[..., start:])
    if new is not None:
        assert isinstance(priors, EffectPriors)
        _add_new(priors, context, parts, new)
    lead = torch.broadcast_shapes(*(part.shape[:-1] for part in parts))
    return Resolved(torch.cat([part.expand(*lead, -1) for part in parts], -1))


def start_of(effect: Effect) -> float:
    """Where the standard deviations of q(u) start, not above s where that is given."""
    scale = START if effect.scale == "learned" else float(effect.scale)
    return max(min(START, scale), 2 * FLOOR)


def _sampled(
    effects: Sequence[Effect], distributions: Sequence[Any], rows: Tensor
) -> list[Tensor]:
    infer: Any = {ROWS: rows}
    return [
        pyro.sample(effect.site, fn, infer=infer)
        for effect, fn in zip(effects, distributions, strict=True)
    ]


def _looked_up(table: Tensor, level: Tensor) -> Tensor:
    """The vectors of levels (..., n) in a table (K + 1, dim).

    Plates of several draws stand to the left of the plate over rows: (draws, 1, K + 1, dim).
    """
    if table.ndim > 2:
        table = table.squeeze(-3)
    every = torch.arange(table.shape[-2], device=level.device)
    one_hot = (level.unsqueeze(-1) == every).to(table.dtype)
    return one_hot @ table


def _add_new(
    priors: EffectPriors, context: Tensor, parts: list[Tensor], new: Tensor
) -> None:
    """Add the vectors of new levels to the parts that have those of known ones."""
    pieces = new.split([effect.dim for effect in priors.effects], -1)
    scales = priors.each_scale()
    for index, effect in enumerate(priors.effects):
        is_new = (context[..., effect.position] == effect.levels).unsqueeze(-1)
        added = torch.where(is_new, scales[index] * pieces[index], 0.0)
        parts[2 * index + 1] = parts[2 * index + 1] + added
