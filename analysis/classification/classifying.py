"""`classify`: the probabilities of the labels of rows."""

from typing import Any, Literal, get_args

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from pyro_vae.analysis.classification.results import Classification
from pyro_vae.analysis.fitted import as_numpy, evaluation, label_of
from pyro_vae.analysis.marginal_likelihood.importance_sampling import evidence
from pyro_vae.arguments import public
from pyro_vae.data.given_rows import GivenRows
from pyro_vae.data.row_labels import row_labels
from pyro_vae.inputs import model_rows, rows_of
from pyro_vae.labels import label_of as labels_of
from pyro_vae.labels import with_label
from pyro_vae.vae import VAE

Method = Literal["classifier", "evidence"]


@public
def classify(
    vae: VAE,
    x: Any,
    *,
    context: Any = None,
    method: Method = "classifier",
    calibration: Any = None,
    num_particles: int = 1000,
    seed: int = 0,
    progress: bool | None = None,
) -> Classification:
    """p(y | x) of each row, without a look at its label where that is known.

    By the classifier it is q(y | x); by evidence Bayes' rule, p(y) p(x | y) / Σ_k p(k) p(x | k),
    where each p(x | y) is an estimate by `evidence`. With `calibration` the log probabilities are
    divided by the T > 0 that minimises the log loss of these rows.

    References:
        Semi-Supervised Learning with Deep Generative Models (Kingma, Rezende, Mohamed, Welling,
        2014).
        On Calibration of Modern Neural Networks (Guo, Pleiss, Sun, Weinberger, 2017), for T.

    Arguments:
        vae: a model with a label, context={"label": ...}.
        x: rows shaped (n, *data_shape), or a DataFrame.
        context: of the rows, with the label last and nan where it is unknown; None: no label is
            known, or it is a column of the table x.
        method: "classifier", or "evidence", K times slower for K classes.
        calibration: a pair of rows and contexts, or a table, whose labels are known and were not
            used in training.
        num_particles: draws for each p(x | y).
        seed: of these draws.
        progress: whether to show a bar; None shows it on a terminal or in a notebook.

    Raises:
        ValueError: a model without a label, rows that don't fit it, an unknown method, calibration
            rows without labels.

    Example:
        >>> vae = VAE(data_shape=(4,), latent_dim=2, context={"label": 3})
        >>> classify(vae, torch.zeros(5, 4)).probabilities.shape
        (5, 3)
    """
    if label_of(vae) is None:
        raise ValueError(
            "classify: expected a model with a label, got one without; make it with "
            "VAE(..., context={'label': number of classes}), or "
            "VAE.from_data(frame, context={'label': 'name of the column'})"
        )
    if method not in get_args(Method):
        raise ValueError(f"method: expected 'classifier' or 'evidence', got {method!r}")
    rows = _rows(vae, x, context, "x")
    how = {"num_particles": num_particles, "seed": seed, "progress": progress}
    log_p, truth = _log_probabilities(vae, rows, method, how)
    temperature = 1.0
    if calibration is not None:
        labelled, labels = calibration, None
        if isinstance(calibration, tuple):
            labelled, labels = calibration
        known = _rows(vae, labelled, labels, "calibration")
        temperature = _fitted_temperature(*_log_probabilities(vae, known, method, how))
    return Classification(
        np.exp(log_softmax(log_p / temperature, axis=1)),
        _classes(vae),
        truth,
        temperature,
        row_labels(x, vae.spec.table),
    )


def _rows(vae: VAE, x: Any, context: Any, name: str) -> GivenRows:
    rows = model_rows(vae, x, name=name, context=context)
    assert isinstance(rows, GivenRows)
    return rows


def _log_probabilities(
    vae: VAE, rows: GivenRows, method: Method, how: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """log p(y | x) of each class, (n, K), and the number of the known label or -1."""
    truth = np.nan_to_num(as_numpy(labels_of(rows.contexts)), nan=-1.0).astype(int)
    if method == "evidence":
        return _by_evidence(vae, rows, how), truth
    parts = []
    with evaluation(vae):
        for batch in rows_of(vae, rows, "x"):
            x, given = vae.model.split(batch)
            assert given is not None
            parts.append(vae.guide.log_q_y(x, given))
    return as_numpy(torch.cat(parts).double()), truth


def _by_evidence(vae: VAE, rows: GivenRows, how: dict[str, Any]) -> np.ndarray:
    """log p(x, y) of each class, (n, K)."""
    assert vae.spec.context is not None
    parts = []
    for label in range(vae.spec.context.classes or 0):
        every = rows.contexts.new_full((len(rows),), label)
        labelled = GivenRows(rows.x, with_label(rows.contexts, every))
        parts.append(evidence(vae, labelled, **how).log_marginal)
    return np.stack(parts, 1)


def _fitted_temperature(log_p: np.ndarray, truth: np.ndarray) -> float:
    """The temperature with the smallest log loss of known labels."""
    known = np.flatnonzero(truth >= 0)
    if len(known) == 0:
        raise ValueError(
            "calibration: expected rows whose labels are known, got none; pass a pair of rows and "
            "contexts with labels that were not used in training"
        )

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(log_p[known] / np.exp(log_temperature), axis=1)
        return -float(scaled[np.arange(len(known)), truth[known]].mean())

    found = minimize_scalar(loss, bounds=(-4.0, 4.0), method="bounded")
    return float(np.exp(found.x))


def _classes(vae: VAE) -> tuple[Any, ...]:
    """The labels of a table, or the numbers of the classes."""
    context = vae.spec.context
    assert context is not None
    if context.table is not None:
        return tuple(context.table.modelled[-1].levels or ())
    return tuple(range(context.classes or 0))
