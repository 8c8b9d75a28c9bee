"""How much the latent variable tells of each column of the context."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyro_vae.analysis.results.answer import Answer, Total, mean_and_se
from pyro_vae.analysis.results.verdicts import Finding, with_error

NAME = "z and the context"
FIRST_WEIGHT = 30.0
"""Nats of the loss at full dependence that are asked for first."""
BEYOND = 3.0
"""Standard errors of the information from which on a column counts as told by z."""


@dataclass(frozen=True, repr=False)
class Told:
    """One column of the context and how it is found from z, on rows held out.

    Attributes:
        name: of the column.
        gains: log q(cᵢ | zᵢ) - log q(cᵢ) of each row, in nats, whose mean is at most I(z; c).
        score: accuracy for levels, R² for numbers.
        chance: the accuracy without z, the share of the most frequent level; 0 for R².
        is_level: whether the column has levels.
    """

    name: str
    gains: np.ndarray
    score: float
    chance: float
    is_level: bool

    @property
    def information(self) -> float:
        """The mean gain, a lower bound of I(z; c), in nats."""
        return mean_and_se(self.gains)[0]

    @property
    def se(self) -> float:
        """Its standard error over rows."""
        return mean_and_se(self.gains)[1]

    @property
    def is_told(self) -> bool:
        """Whether the bound is more than 3 standard errors above 0."""
        return bool(self.information > BEYOND * self.se)


@dataclass(frozen=True, repr=False)
class Independence(Answer):
    """Whether z carries something of the context, column by column.

    Attributes:
        columns_told: one entry for each column of the context.
        row_labels: names of the rows, where the data have some, else None.
    """

    columns_told: tuple[Told, ...]
    row_labels: tuple[Any, ...] | None = None

    reading = (
        "information is a lower bound of I(z; c) in nats, from a classifier or a regression on "
        "held-out rows; within 3 standard errors of 0, or below, nothing was found in z"
    )

    @property
    def independent(self) -> bool:
        """Whether nothing of any column was found."""
        return not any(told.is_told for told in self.columns_told)

    def totals(self) -> Sequence[Total]:
        totals = []
        for told in self.columns_told:
            found = f"R² {told.score:.3f}"
            if told.is_level:
                found = f"accuracy {told.score:.3f}, {told.chance:.3f} by chance"
            note = f"{found}; {'found in z' if told.is_told else 'not found in z'}"
            totals.append(Total(told.name, told.information, told.se, "nats", note))
        return totals

    def columns(self) -> Mapping[str, np.ndarray]:
        return {told.name: told.gains for told in self.columns_told}

    def labels(self) -> Sequence[Any] | None:
        return self.row_labels

    def finding(self, asked: float | None = 0.0) -> Finding:
        """The verdict of a check-up.

        Arguments:
            asked: the model's `context.independence`, three times which is the remedy; None where
                the model can't take it.
        """
        told = [told for told in self.columns_told if told.is_told]
        most = max(told or self.columns_told, key=lambda one: one.information)
        found = [
            f"{one.name} {with_error(one.information, one.se)} nats" for one in told
        ]
        return Finding.judged(
            self.independent,
            "warn",
            name=NAME,
            number=most.information,
            error=most.se,
            unit="nats",
            threshold=BEYOND * most.se,
            source=f"{BEYOND:.0f} standard errors, ours",
            passed="nothing of the context is found in z",
            failed=f"z tells of the context: {', '.join(found)}; rows keep it in another context",
            **_asking(asked),
        )

    def __repr__(self) -> str:
        names = [told.name for told in self.columns_told if told.is_told]
        return f"Independence(found in z: {', '.join(names) or 'nothing'})"


def _asking(asked: float | None) -> dict[str, str]:
    """The remedy that is to ask for independence, or for more of it."""
    if asked is None:
        return {}
    weight = f"{3 * asked or FIRST_WEIGHT:g}"
    fields = f'vae.spec.context.model_dump() | {{"independence": {weight}}}'
    return {
        "remedy": "fit again with the loss that asks for independence",
        "python": f"pv.fit(pv.VAE.from_spec(vae.spec, context={fields}), x_train)",
        "command": f"pyro-vae fit RUN --set context.independence={weight} --output RUN-independent",
    }
