"""`transfer`: rows as they would be in another context."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from pyro_vae.analysis.contexts.transferred import Transfer
from pyro_vae.analysis.fitted import (
    as_numpy,
    evaluation,
    require_density,
    warn_of_half,
)
from pyro_vae.analysis.imputation.cells import probabilities_of
from pyro_vae.analysis.imputation.conditional import (
    groups_of,
    job_of,
    require_draws,
)
from pyro_vae.analysis.imputation.posterior_draws import PosteriorDraws
from pyro_vae.analysis.marginal_likelihood.job import Job
from pyro_vae.analysis.results.tables import column_labels
from pyro_vae.arguments import as_int, public
from pyro_vae.contexts import replaced
from pyro_vae.data.given_rows import GivenRows
from pyro_vae.data.row_labels import row_labels
from pyro_vae.given import with_context
from pyro_vae.inputs import placement_of, rows_of
from pyro_vae.likelihoods.base import given, representative
from pyro_vae.progress_bar import progress_bar
from pyro_vae.rng import own_seed
from pyro_vae.vae import VAE

NUMBERS = 2**23
"""Of all draws of some rows, which are in memory at once."""


@public
def transfer(
    vae: VAE,
    x: Any,
    *,
    to: Any,
    context: Any = None,
    num_draws: int = 100,
    num_particles: int = 1000,
    seed: int = 0,
    progress: bool | None = None,
) -> Transfer:
    """What rows x with context c would be with context c', by the model: x' ~ p(x' | z, c').

    z has the distribution p(z | x, c), by importance weights as in `evidence`. Where the prior
    takes the context, z = μ(c) + σ(c) u, what is kept is u: z' = μ(c') + σ(c') u.

    This conditions on c' in the model. It is the effect of setting c to c' only where the context
    was assigned independently of what makes rows differ otherwise, and where z carries nothing of
    it: the model can't tell a cause from a companion. It isn't a counterfactual of one row either:
    the noise of p(x | z, c) is drawn anew.

    References:
        Learning Structured Output Representation using Deep Conditional Generative Models (Sohn,
        Lee, Yan, 2015), for p(x | z, c).
        Causality (Pearl, 2009), for what setting is and conditioning isn't.

    Arguments:
        vae: a fitted model with a context.
        x: rows shaped (n, *data_shape), or a table.
        to: c': a dict by name of the columns that change, or whole contexts, (n, C) or (1, C).
        context: c of the rows; None finds its columns in the table x.
        num_draws: x' of each row.
        num_particles: draws of z for each row, from which those are taken; at least 21.
        seed: of the draws.
        progress: whether to show a bar; None shows it on a terminal or in a notebook.

    Returns:
        `Transfer`: draws, intervals, and the effect on each column with its standard error.

    Raises:
        ValueError: a model without a context, or contexts that don't fit it.

    Example:
        >>> vae = VAE(data_shape=(4,), latent_dim=2, context={"dim": 1})
        >>> found = transfer(vae, torch.zeros(3, 4), context=torch.zeros(3, 1), to=[[1.0]])
        >>> found.draws.shape, found.average_effects().shape
        ((100, 3, 4), (4, 2))
    """
    if vae.spec.context is None:
        raise ValueError(
            "transfer: expected a model with a context, got one without; make it with "
            "VAE(..., context={'dim': C}), or VAE.from_data(frame, context={'columns': [...]})"
        )
    as_int(num_draws, "num_draws", at_least=1)
    require_draws(num_particles)
    require_density(vae)
    warn_of_half(vae, "transfer")
    where = placement_of(vae)
    whole = with_context(vae, x, context)
    assert isinstance(whole, GivenRows)
    contexts = replaced(vae.spec.context, whole.contexts, to, where, "to")
    before = torch.cat(list(rows_of(vae, whole, "x")))
    after = torch.cat(list(rows_of(vae, GivenRows(whole.x, contexts), "x")))
    found = _Found(num_draws, len(before), vae.spec.data_shape)
    with evaluation(vae), own_seed(seed, where.device) as restart:
        either = torch.cat([whole.contexts, contexts])
        job = job_of(vae, len(before), num_particles, seed, restart, either)
        how: dict[str, Any] = {"total": len(before), "desc": "transfer", "unit": "row"}
        with progress_bar(progress, **how) as bar:
            for rows, change in _changes(job, before, after):
                found.take(rows, change)
                bar.update(len(rows))
        names = _names(vae, x, change.factual)
    labels = row_labels(x, vae.spec.table)
    numbers = (found.draws, found.effects, names, found.trusted)
    return Transfer(*numbers, table=vae.spec.table, row_labels=labels)


class _Found:
    """The numbers of all rows, in their order.

    Arguments:
        num_draws: of each row.
        rows: how many there are.
        data_shape: of a row.
    """

    def __init__(self, num_draws: int, rows: int, data_shape: tuple[int, ...]) -> None:
        self.draws = np.empty((num_draws, rows, *data_shape))
        self.trusted = np.zeros(rows, bool)
        self._effects: dict[int, np.ndarray] = {}

    def take(self, rows: np.ndarray, change: "_Change") -> None:
        """Take in the numbers of some rows."""
        self.draws[:, rows] = as_numpy(change.drawn(len(self.draws)))
        self.trusted[rows] = change.trusted
        self._effects |= dict(zip(rows.tolist(), change.effects(), strict=True))

    @property
    def effects(self) -> np.ndarray:
        return np.stack([self._effects[row] for row in range(len(self.trusted))])


def _changes(
    job: Job, before: Tensor, after: Tensor
) -> Iterator[tuple[np.ndarray, "_Change"]]:
    """The rows in parts that fit in memory: their positions, and what changes."""
    every = torch.arange(len(before), device=before.device)
    for rows, part in groups_of(job, before, every):
        for some in _pieces(part, math.prod(job.vae.spec.data_shape)):
            chosen = rows[some]
            yield chosen, _Change(job.vae, before[chosen], after[chosen], part, some)


def _pieces(part: PosteriorDraws, size: int) -> Iterator[np.ndarray]:
    """The rows of a part, so many at once that the numbers of their draws fit in memory."""
    step = max(1, NUMBERS // (len(part.z) * size))
    every = np.arange(len(part.rows))
    yield from np.split(every, range(step, len(every), step))


class _Change:
    """Some rows with all draws of their z, in both contexts.

    Arguments:
        seen: the model of rows (x, c).
        before, after: the rows (x, c) and (x, c').
        part: draws, of which these are the rows `some`.
    """

    def __init__(
        self,
        seen: Any,
        before: Tensor,
        after: Tensor,
        part: PosteriorDraws,
        some: np.ndarray,
    ) -> None:
        self.likelihood = seen.likelihood
        self.after = after
        self.u = part.z[:, some]
        self.weights = part.weights[:, some]
        self.trusted = part.trusted[some]
        self.factual = given(self.likelihood(self.u), before)
        self.changed = given(self.likelihood(self.u), after)

    def drawn(self, count: int) -> Tensor:
        """x' ~ p(x' | z, c') with z resampled by the weights, (count, r, *data_shape)."""
        chosen = torch.multinomial(self.weights.T, count, replacement=True).T
        rows = torch.arange(len(self.after), device=chosen.device)
        u = self.u[chosen, rows]
        drawn: Tensor = given(self.likelihood(u), self.after).sample()
        return drawn

    def effects(self) -> np.ndarray:
        """The mean change of each quantity given z, weighted over the draws, (r, quantities)."""
        change = _quantities(self.changed) - _quantities(self.factual)
        mean = (self.weights.unsqueeze(-1) * change.double()).sum(0)
        return as_numpy(mean)


def _quantities(p: Distribution) -> Tensor:
    """The mean of each number of a row, and the probability of each level of a category."""
    means = representative(p).flatten(len(p.batch_shape))
    named = probabilities_of(p)
    parts = [
        named[column] if column in named else means[..., column : column + 1]
        for column in range(means.shape[-1])
    ]
    return torch.cat(parts, -1)


def _names(vae: VAE, x: Any, p: Distribution) -> tuple[str, ...]:
    """The names of those quantities: "wing", "species[owl]", or "x[3]" without names."""
    size = math.prod(vae.spec.data_shape)
    table = vae.spec.table
    labels = column_labels(x, table)
    if labels is None or len(labels) != size:
        labels = tuple(f"x[{column}]" for column in range(size))
    named = probabilities_of(p)
    names = []
    for column, name in enumerate(labels):
        if column not in named:
            names.append(str(name))
            continue
        levels: Any = table.modelled[column].levels if table is not None else None
        count = named[column].shape[-1]
        shown = levels if levels is not None and len(levels) == count else range(count)
        names += [f"{name}[{level}]" for level in shown]
    return tuple(names)
