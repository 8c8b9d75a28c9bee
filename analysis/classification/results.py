"""The probabilities of labels, and how far they are right where the label is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyro_vae.analysis.results.answer import Answer, Total, mean_and_se

BINS = 15
"""Of equal width, in which confidence and accuracy are compared."""


@dataclass(frozen=True, repr=False)
class Classification(Answer):
    """p(y | x) of each row, and its errors on the rows whose label is known.

    Attributes:
        probabilities: (n, K).
        classes: the K labels.
        truth: the number of the known label of each row, -1 where unknown.
        temperature: T, by which the log probabilities were divided.
        row_labels: names of the rows, where the data have some, else None.

    Example:
        >>> found = Classification(np.array([[0.9, 0.1], [0.4, 0.6]]), ("a", "b"), np.array([0, 0]))
        >>> found.label.tolist(), found.accuracy
        (['a', 'b'], 0.5)
    """

    probabilities: np.ndarray
    classes: tuple[Any, ...]
    truth: np.ndarray
    temperature: float = 1.0
    row_labels: tuple[Any, ...] | None = None

    reading = (
        "ece is the mean difference of confidence and accuracy; accuracy, log loss and ece are of "
        "the rows whose label is known, and too good where the model was fitted to these labels"
    )

    @property
    def label(self) -> np.ndarray:
        """The most probable label of each row."""
        return np.array(self.classes)[self.probabilities.argmax(1)]

    @property
    def confidence(self) -> np.ndarray:
        """The probability of that label."""
        return np.asarray(self.probabilities.max(1))

    @property
    def accuracy(self) -> float:
        """The share of known labels that are the most probable one; nan without any."""
        return mean_and_se(self._is_right)[0] if self._known.any() else np.nan

    @property
    def log_loss(self) -> float:
        """The mean of -log p(y | x) over known labels, in nats; nan without any."""
        return float(self._losses.mean()) if self._known.any() else np.nan

    @property
    def ece(self) -> float:
        """The expected calibration error, Σ_b n_b / n |accuracy_b - confidence_b| over 15 bins.

        References:
            Obtaining Well Calibrated Probabilities Using Bayesian Binning (Naeini, Cooper,
            Hauskrecht, 2015).
        """
        if not self._known.any():
            return np.nan
        confidence = self.confidence[self._known]
        bins = np.ceil(confidence * BINS).astype(int)
        difference = np.bincount(bins, self._is_right - confidence)
        return float(np.abs(difference).sum() / len(confidence))

    @property
    def _known(self) -> np.ndarray:
        return self.truth >= 0

    @property
    def _is_right(self) -> np.ndarray:
        right = self.probabilities.argmax(1) == self.truth
        return right[self._known].astype(float)

    @property
    def _losses(self) -> np.ndarray:
        rows = np.flatnonzero(self._known)
        with np.errstate(divide="ignore"):
            return -np.log(self.probabilities[rows, self.truth[rows]])

    def _mean_loss(self) -> tuple[float, float]:
        """The log loss and its standard error, nan where a known label has probability 0."""
        with np.errstate(invalid="ignore"):
            return mean_and_se(self._losses)

    def totals(self) -> Sequence[Total]:
        known = int(self._known.sum())
        totals = [
            Total("rows", len(self.truth)),
            Total("known labels", known),
            Total("mean confidence", float(self.confidence.mean())),
        ]
        if known:
            totals += [
                Total("accuracy", *mean_and_se(self._is_right)),
                Total("log loss", *self._mean_loss(), "nats"),
                Total("ece", self.ece),
            ]
        return totals

    def columns(self) -> Mapping[str, np.ndarray]:
        each = {
            f"p[{name}]": self.probabilities[:, k]
            for k, name in enumerate(self.classes)
        }
        return {"label": self.label, "confidence": self.confidence, **each}

    def labels(self) -> Sequence[Any] | None:
        return self.row_labels

    def __repr__(self) -> str:
        rows, classes = self.probabilities.shape
        return f"Classification(rows={rows}, classes={classes}, accuracy {self.accuracy:.3f})"
