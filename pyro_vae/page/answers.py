"""What is computed for a page, each answer when it is first asked for."""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.analysis import Evidence, Samples, evidence, sample
from pyro_vae.analysis.fitted import as_numpy
from pyro_vae.analysis.report.checks import checkup_given
from pyro_vae.analysis.report.results import Checkup
from pyro_vae.experiment.evaluation import HOW, Metrics, evaluate
from pyro_vae.given import likely_labels
from pyro_vae.inputs import rows_of
from pyro_vae.page.subject import Subject

FITTED_ROWS = 60
"""Fitted rows whose log p(x) is compared with that of held-out rows."""
DRAWN_PER_ROW = 20
FEWEST_DRAWN = 2000
MOST_NUMBERS = 20_000_000
"""Rows that the model draws: 20 for each held-out row, at least 2000, as far as memory allows."""


class Answers:
    """What is computed for a page, each when it is first asked for.

    Arguments:
        subject: what the page is about.
        progress: whether to show bars.
    """

    def __init__(self, subject: Subject, progress: bool | None = None) -> None:
        self.subject = subject
        self.progress = progress

    @cached_property
    def evaluation(self) -> tuple[Metrics, Evidence | None]:
        """The metrics and log p(x) of the rows, as `pyro-vae evaluate` has them."""
        subject = self.subject
        every = subject.experiment.evaluate.model_copy(update={"rows": None})
        return evaluate(subject.vae, subject.rows, every, progress=self.progress)

    @cached_property
    def complete(self) -> Tensor:
        """The rows as the model takes them, with the most probable label where it is unknown."""
        rows = torch.cat(list(rows_of(self.subject.vae, self.subject.rows, "rows")))
        return likely_labels(self.subject.vae, rows)

    @cached_property
    def contexts(self) -> np.ndarray | None:
        """Their contexts, (n, C); None for a model without a context."""
        _, context = self.subject.vae.model.split(self.complete)
        return None if context is None else as_numpy(context).astype(np.float64)

    @cached_property
    def typical(self) -> int:
        """The row whose context is nearest to the most frequent levels and the medians."""
        contexts, given = self.contexts, self.subject.given
        assert contexts is not None
        assert given is not None
        distance = np.zeros(len(contexts))
        for column, count in zip(contexts.T, given.levels, strict=True):
            if count is None:
                unit = column.std() or 1.0
                distance += np.square((column - np.median(column)) / unit)
            else:
                distance += column != np.bincount(column.astype(int)).argmax()
        return int(distance.argmin())

    @property
    def symbol(self) -> str:
        """What is estimated: "log p(x)", or "log p(x | c)" of rows with contexts."""
        _, found = self.evaluation
        return "log p(x)" if found is None else found.symbol

    @cached_property
    def checkup(self) -> Checkup:
        """The checks of `pyro-vae check` for these rows, whose log p(x) is known."""
        subject = self.subject
        rows = torch.cat(list(rows_of(subject.vae, subject.rows, "rows")))
        _, found = self.evaluation
        how: dict[str, Any] = {"seed": subject.seed, "progress": False}
        return checkup_given(subject.vae, rows, found, **how)

    @cached_property
    def fitted(self) -> Evidence | None:
        """log p(x) of fitted rows; None where none are known, or it doesn't exist."""
        subject = self.subject
        if subject.fitted is None or not subject.is_density:
            return None
        random = np.random.default_rng(subject.seed)
        count = min(FITTED_ROWS, len(subject.fitted))
        chosen = np.sort(random.choice(len(subject.fitted), count, replace=False))
        options = subject.experiment.evaluate
        return evidence(
            subject.vae,
            subject.fitted[chosen],
            **{name: getattr(options, name) for name in HOW},
            progress=self.progress,
        )

    @cached_property
    def samples(self) -> Samples:
        """Rows that the model draws, in its own numbers, with their E[x | z], (m, *data_shape).

        With contexts they are those of the n rows, one after another and as often: the draws i and
        n + i are in the context of row i.
        """
        rows = len(self.subject.rows)
        size = max(1, len(self.subject.names))
        wanted = max(FEWEST_DRAWN, DRAWN_PER_ROW * rows)
        count = min(wanted, max(100, MOST_NUMBERS // size))
        context = self.subject.contexts
        if context is not None:
            times = max(1, count // rows)
            count = times * rows
            context = np.tile(context, (times, 1))
        how: dict[str, Any] = {"seed": self.subject.seed, "as_array": True}
        return sample(self.subject.vae, count, context=context, **how)

    @cached_property
    def draws(self) -> np.ndarray:
        """The rows of `samples`, (m, D)."""
        drawn = np.asarray(self.samples.x, dtype=np.float64)
        return drawn.reshape(len(drawn), -1)
