"""log p(x) of rows whose label is unknown: the sum over the labels, each with its own estimate."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy.special import logsumexp
from torch import Tensor

from pyro_vae.analysis.fitted import as_numpy, evaluation
from pyro_vae.analysis.marginal_likelihood.measure import measure_of
from pyro_vae.analysis.marginal_likelihood.results import Evidence
from pyro_vae.data import ArrayRows
from pyro_vae.data.given_rows import CandidateRows, GivenRows
from pyro_vae.data.row_labels import row_labels
from pyro_vae.inputs import model_rows, placement_of
from pyro_vae.labels import label_of as labels_of
from pyro_vae.labels import with_label
from pyro_vae.rng import row_hash
from pyro_vae.vae import VAE

RELEVANT = 0.001
"""The posterior probability from which on a label counts where the trust in a row is said."""


def summed_over_labels(
    evidence: Callable[..., Evidence], *, vae: VAE, x: Any, context: Any, **how: Any
) -> Evidence:
    """log p(x, y) of rows whose label y is known, and log Σ_y p(y) p(x | y) of the others.

    The sum is over estimates, whose standard errors e_y give √Σ_y p(y | x)² e_y². The k-hat of a
    row is the largest of the labels with p(y | x) ≥ 0.001.

    Arguments:
        evidence: the function that estimates log p(x | y) of rows.
        vae: a model with a label.
        x: the rows.
        context: of the rows, whose last number is the label.
        **how: further arguments of `evidence`.
    """
    each = Candidates(vae, x, context)
    without_columns = {
        name: value for name, value in how.items() if name not in ("columns", "given")
    }
    found = evidence(vae, each.rows(), **without_columns)
    combined = each.combined(found)
    known = ~np.isnan(each.label)
    measure = measure_of(vae)
    if measure is not None and known.all():
        measure = replace(measure, label="known")
    elif measure is not None and not known.any():
        measure = replace(measure, label="")
    return replace(combined, measure=measure, **each.names())


def annealed_over_labels(
    annealed: Callable[..., Any], *, vae: VAE, x: Any, context: Any, **how: Any
) -> Any:
    """The same of annealed importance sampling; how its chains moved is that of the best label.

    Arguments:
        annealed: the function that estimates log p(x | y) of rows.
        vae: a model with a label.
        x: the rows.
        context: of the rows, whose last number is the label.
        **how: further arguments of `annealed`.
    """
    each = Candidates(vae, x, context)
    found = annealed(vae, each.rows(), **how)
    joint = found.log_marginal + each.log_labels()[0]
    log_marginal, posterior, best = each.summed(joint)
    return replace(
        found,
        log_marginal=log_marginal,
        se=each.combined_se(posterior, found.se),
        ess=found.ess[best],
        acceptance=found.acceptance[best],
        step_size=found.step_size[best],
        **each.names(),
    )


class Candidates:
    """Rows with each label that they may have.

    Attributes:
        x: the rows, flat, with their contexts as given.
        row_labels: names of the rows, where the data have some, else None.
        label: of each row, nan where unknown.
        row: the number of the row of each candidate.
        classes: its label.
    """

    def __init__(self, vae: VAE, x: Any, context: Any) -> None:
        rows = model_rows(vae, x, context=context)
        assert isinstance(rows, GivenRows)
        self.vae = vae
        self.row_labels = row_labels(x, vae.spec.table)
        self.x = torch.cat(list(rows.batches(1024)))
        _, given = vae.model.split(self.x)
        assert given is not None
        assert vae.spec.context is not None
        count = vae.spec.context.classes or 0
        self.given = given
        self.label = as_numpy(labels_of(given))
        known = ~np.isnan(self.label)
        self.row = np.repeat(np.arange(len(self.x)), np.where(known, 1, count))
        every = [
            [int(y)] if is_known else range(count)
            for y, is_known in zip(np.nan_to_num(self.label), known, strict=True)
        ]
        self.classes = np.array([y for classes in every for y in classes])

    def rows(self) -> CandidateRows:
        """The rows, once for each of their candidates."""
        index = torch.as_tensor(self.row, device=self.x.device)
        label = torch.as_tensor(self.classes, device=self.x.device)
        x, _ = self.vae.model.split(self.x[index])
        context = with_label(self.given[index], label)
        return CandidateRows(ArrayRows(x, placement_of(self.vae)), context)

    def names(self) -> dict[str, Any]:
        """The fields of a result that say which rows it is of."""
        hashes = np.array([row_hash(row) for row in self.x], np.uint64)
        return {"row_hashes": hashes, "row_labels": self.row_labels}

    def combined(self, found: Evidence) -> Evidence:
        """The numbers of rows from those of their candidates."""
        log_p, log_q = self.log_labels()
        log_marginal, posterior, best = self.summed(found.log_marginal + log_p)
        # the likeliest is among them even of very many, and a nan is no reason for trust
        most = self._of_rows(posterior, np.max)[self.row]
        counts = ~(posterior < np.minimum(RELEVANT, most))
        bound = found.elbo + log_p - log_q
        proposal_bound = found.proposal_elbo + log_p - log_q
        q = np.exp(log_q)
        upper = np.where(np.isnan(found.upper), found.log_marginal, found.upper) + log_p
        has_upper = self._of_rows(counts & np.isfinite(found.upper), np.any)
        pareto_k = np.where(counts, found.pareto_k, -np.inf)
        drawn = found.num_particles
        drawn = np.where(counts, drawn, drawn.max())
        return replace(
            found,
            log_marginal=log_marginal,
            se=self.combined_se(posterior, found.se),
            elbo=self._of_rows(q * bound, np.sum),
            proposal_elbo=self._of_rows(q * proposal_bound, np.sum),
            ess=self._of_rows(posterior * found.ess, np.sum),
            pareto_k=self._of_rows(pareto_k, np.max),
            num_particles=self._of_rows(drawn, np.min),
            reached=found.reached[best],
            retried=found.retried[best],
            method=found.method[best],
            upper=np.where(has_upper, self._of_rows(upper, logsumexp), np.nan),
            n_observed=None if found.n_observed is None else found.n_observed[best],
        )

    def summed(self, joint: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of log p(x, y) of each candidate: log p(x), p(y | x), and the likeliest of each row."""
        log_marginal = self._of_rows(joint, logsumexp)
        posterior = np.exp(joint - log_marginal[self.row])
        best = self._of_rows(joint, np.argmax).astype(int) + self._first()
        return log_marginal, posterior, best

    def combined_se(self, posterior: np.ndarray, se: np.ndarray) -> np.ndarray:
        """√Σ_y p(y | x)² e_y² of each row."""
        return np.sqrt(self._of_rows(np.square(posterior * se), np.sum))

    def _first(self) -> np.ndarray:
        """The position of the first candidate of each row."""
        return np.searchsorted(self.row, np.arange(len(self.x)))

    def _of_rows(self, values: np.ndarray, reduce: Callable[..., Any]) -> np.ndarray:
        """A number for each row, of those of its candidates."""
        parts = np.split(values, self._first()[1:])
        return np.array([reduce(part) for part in parts])

    def log_labels(self) -> tuple[np.ndarray, np.ndarray]:
        """log p(y) of each candidate, and log q(y | x), which is 0 for a known label."""
        model, guide = self.vae.model, self.vae.guide
        assert model.label is not None
        with evaluation(self.vae):
            log_p = as_numpy(model.label())
            parts: list[Tensor] = []
            for batch in self.x.split(1024):
                x, given = model.split(batch)
                assert given is not None
                parts.append(guide.log_q_y(x, given))
            log_q = as_numpy(torch.cat(parts))[self.row, self.classes]
        known = ~np.isnan(self.label)[self.row]
        return log_p[self.classes], np.where(known, 0.0, log_q)
