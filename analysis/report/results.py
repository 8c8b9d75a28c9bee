"""The result of a check-up: its findings, their overall verdict and three sentences."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_vae.analysis.results.answer import Answer, Total
from pyro_vae.analysis.results.tables import html_paragraph, html_table
from pyro_vae.analysis.results.verdicts import (
    BASELINE,
    LATENT,
    TRUSTED,
    Finding,
    Verdict,
    factor,
    failing,
    with_error,
)

if TYPE_CHECKING:
    from pandas import DataFrame

ORDER: tuple[Verdict, ...] = ("fail", "warn", "pass")
"""Verdicts, the worst first."""
READING: dict[Verdict, str] = {
    "pass": "the numbers agree with each other, and nothing looks weak",
    "warn": (
        "the numbers agree with each other; they show that the model or its guide is weak where "
        "it says warn"
    ),
    "fail": (
        "numbers that must agree do not, where it says fail: trust none that depends on them"
    ),
    "none": "there was nothing to check",
}


@dataclass(frozen=True, repr=False)
class Checkup(Answer):
    """The findings of a check-up, in order.

    Attributes:
        findings: one for each diagnostic.
        log_marginal, log_marginal_se: mean log p(x) and its standard error over rows, in nats; nan
            without a density.
        symbol: what it is: "log p(x | c)" of rows with a context.

    Example:
        >>> found = Checkup((Finding(name="k-hat", verdict="pass", meaning="fine", number=0.2),))
        >>> found
        Checkup(1 pass)
        >>> found.to_dataframe().loc["k-hat", "verdict"]
        'pass'
    """

    findings: tuple[Finding, ...]
    log_marginal: float = math.nan
    log_marginal_se: float = math.nan
    symbol: str = "log p(x)"

    @property
    def worst(self) -> Verdict:
        """ "fail" where anything failed, else "warn" where anything is weak, else "pass"."""
        verdicts = {finding.verdict for finding in self.findings}
        return next((verdict for verdict in ORDER if verdict in verdicts), "none")

    def __getitem__(self, name: str) -> Finding:
        """The finding of that name.

        Raises:
            KeyError: there is none.
        """
        by_name = {finding.name: finding for finding in self.findings}
        if name not in by_name:
            raise KeyError(
                f"no finding {name!r}; there are {', '.join(map(repr, by_name))}"
            )
        return by_name[name]

    @property
    def sentences(self) -> tuple[str, ...]:
        """Whether log p(x) can be trusted, whether the model beats a baseline, and what to do next.

        Empty where it wasn't a model that was checked.
        """
        names = {finding.name for finding in self.findings}
        if TRUSTED not in names:
            return ()
        return (self._trust(), self._gain(), self._next())

    def for_run(
        self, run: str | PathLike[str], data: Sequence[str] = (), refits: bool = True
    ) -> "Checkup":
        """The same with the folder of a run in every command: see `Finding.for_run`."""
        findings = tuple(
            finding.for_run(run, data, refits) for finding in self.findings
        )
        return replace(self, findings=findings)

    @property
    def reading(self) -> str:
        return f"{self.worst}: {READING[self.worst]}"

    def totals(self) -> Sequence[Total]:
        return [
            Total(
                finding.name,
                finding.number,
                finding.error,
                finding.unit,
                finding.verdict,
                text=finding.value or "not measured",
            )
            for finding in self.findings
        ]

    def columns(self) -> Mapping[str, np.ndarray]:
        names = [field.name for field in fields(Finding) if field.name != "name"]
        return {
            name: np.array([getattr(finding, name) for finding in self.findings])
            for name in names
        }

    def labels(self) -> Sequence[Any]:
        return [finding.name for finding in self.findings]

    def to_dataframe(self) -> "DataFrame":
        """One line for each finding, indexed by its name."""
        return super().to_dataframe().rename_axis(index="finding")

    def summary(self) -> str:
        """One line for each finding, with what to do where it is no pass, and the sentences."""
        lines = [*map(str, self.findings), "", self.reading]
        if self.sentences:
            lines += ["", *self.sentences]
        return "\n".join(lines)

    def __repr__(self) -> str:
        verdicts = [finding.verdict for finding in self.findings]
        counts = [f"{verdicts.count(v)} {v}" for v in (*ORDER, "none") if v in verdicts]
        return f"Checkup({', '.join(counts)})"

    def _repr_html_(self) -> str:
        head = ["verdict", "finding", "number", "threshold", "meaning", "what to do"]
        table = html_table(head, map(_html_line, self.findings))
        return table + html_paragraph("\n".join([self.reading, *self.sentences]))

    def _trust(self) -> str:
        trusted = self[TRUSTED]
        value = with_error(self.log_marginal, self.log_marginal_se)
        number = f"{self.symbol} = {value} nats per row"
        contradictions = [finding.name for finding in self.findings if failing(finding)]
        if math.isnan(self.log_marginal):
            return f"There is no log p(x) to trust: {trusted.meaning}."
        if contradictions:
            names = ", ".join(contradictions)
            return (
                f"{number} can't be trusted: numbers that must agree do not ({names})."
            )
        if trusted.verdict == "pass":
            return f"{number} can be trusted: {trusted.meaning}."
        if trusted.verdict == "warn":
            return f"{number} is only a lower estimate: {trusted.meaning}."
        return f"Whether {number} can be trusted is not known: {trusted.meaning}."

    def _gain(self) -> str:
        gain = self[BASELINE]
        baseline = "a model of independent columns"
        if gain.verdict == "none":
            return f"Whether the model is better than {baseline} is not known: {gain.meaning}."
        nats = f"{with_error(abs(gain.number), gain.error)} nats per row"
        if abs(gain.number) <= 2 * gain.error:
            return (
                f"The model is no better than {baseline}: {self.symbol} differs by {nats}, which "
                "may be chance."
            )
        times = factor(abs(gain.number))
        if gain.number < 0:
            return (
                f"The model is worse than {baseline} by {nats}: it makes a row {times} times less "
                "probable."
            )
        return (
            f"The model is better than {baseline} by {nats}: it makes a row {times} times more "
            "probable."
        )

    def _next(self) -> str:
        with_remedy = [finding for finding in self.findings if finding.remedy]
        if not with_remedy:
            count = sum(finding.verdict == "pass" for finding in self.findings)
            return f"Nothing has to be done next: all {count} checks have passed."
        first = min(with_remedy, key=_urgency)
        step = f", with `{first.first_step}`" if first.first_step else ""
        return f"Next, because of '{first.name}': {first.remedy}{step}."


def _urgency(finding: Finding) -> int:
    """The rank of a finding among those that need something to be done, 0 for the first."""
    has_collapsed = finding.name == LATENT and finding.number == 0
    order = [
        failing(finding),
        finding.name == BASELINE,
        has_collapsed,
        finding.name == TRUSTED,
    ]
    return order.index(True) if True in order else len(order)


def _html_line(finding: Finding) -> Sequence[str]:
    todo = (
        f"{finding.remedy}: {finding.first_step}"
        if finding.first_step
        else finding.remedy
    )
    return [
        finding.verdict,
        finding.name,
        finding.value,
        finding.limit,
        finding.meaning,
        todo,
    ]
