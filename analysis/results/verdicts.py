"""Verdicts: what a diagnostic found, what it means and what to do about it, in one form for all
diagnostics.
"""

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike, fspath
from typing import Any, Literal

import numpy as np

Verdict = Literal["pass", "warn", "fail", "none"]
READING: dict[Verdict, str] = {
    "pass": "the numbers agree with each other, and nothing looks weak",
    "warn": (
        "the numbers agree with each other; they say that the model or its guide is weak where "
        "it says warn"
    ),
    "fail": "numbers that must agree do not, where it says fail: trust none that depends on them",
    "none": "there was nothing to check",
}
TRUSTED = "rows with a trusted log p(x)"
BASELINE = "log p(x) - independent columns"
LATENT = "use of the latent space"
"""Names of findings that the three sentences at the end ask about."""
OURS = "ours"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one diagnostic found.

    Attributes:
        name: what was looked at.
        verdict: "pass"; "warn": the numbers agree, and say that model or guide is weak; "fail":
            they contradict each other; "none": the question does not arise for this model.
        meaning: the verdict in words.
        number: what was measured; nan where nothing was.
        error: its standard error; nan where it has none.
        unit: of both; "p" for a p-value.
        threshold: what the number was compared with; nan where it wasn't.
        side: whether the number should be at most or at least the threshold.
        source: where the threshold comes from: authors and year.
        remedy: what to do; empty where nothing has to be done.
        python: a line that does it, for the names `pv` (this package), `vae`, `x` (the rows) and
            `x_train`.
        command: a command that does it, for a model in the folder RUN.

    Example:
        >>> print(Finding(name="k-hat", verdict="pass", meaning="fine", number=0.2, threshold=0.7, source="Vehtari"))
        pass  k-hat                            0.2                               at most 0.7 (Vehtari)
    """

    name: str
    verdict: Verdict
    meaning: str
    number: float = math.nan
    error: float = math.nan
    unit: str = ""
    threshold: float = math.nan
    side: Literal["at most", "at least"] = "at most"
    source: str = OURS
    remedy: str = ""
    python: str = ""
    command: str = ""

    @classmethod
    def judged(
        cls, good: bool, otherwise: Verdict, *, passed: str, failed: str, **fields: Any
    ) -> "Finding":
        """A pass, which needs no remedy, or the other verdict with its remedy; each has a meaning
        of its own.
        """
        if good:
            fields = {
                name: value
                for name, value in fields.items()
                if name not in {"remedy", "python", "command"}
            }
            return cls(verdict="pass", meaning=passed, **fields)
        return cls(verdict=otherwise, meaning=failed, **fields)

    @property
    def value(self) -> str:
        """The number with its error and unit."""
        if math.isnan(self.number):
            return ""
        if self.unit == "p":
            return f"p = {self.number:.2g}" if self.number >= 1e-6 else "p < 1e-6"
        number = (
            f"{self.number:.3g}" if math.isnan(self.error) else with_error(self.number, self.error)
        )
        return f"{number} {self.unit}".rstrip()

    @property
    def limit(self) -> str:
        """The threshold and its source."""
        if math.isnan(self.threshold):
            return ""
        return f"{self.side} {self.threshold:.3g} ({self.source})"

    @property
    def first_step(self) -> str:
        """The command, or else the line of Python."""
        return self.command or self.python

    def __str__(self) -> str:
        line = f"{self.verdict:<5} {self.name:<32} {self.value:<33} {self.limit}".rstrip()
        if self.verdict == "pass":
            return line
        words = [
            self.meaning,
            f"-> {self.remedy}" if self.remedy else "",
            self.python,
            self.command,
        ]
        indents = ("      ", "      ", "         ", "         ")
        return "\n".join(
            [line, *(i + text for i, text in zip(indents, words, strict=True) if text)]
        )

    def for_run(
        self, run: str | PathLike[str], data: Sequence[str] = (), refits: bool = True
    ) -> "Finding":
        """The same with the folder of a run in its command.

        Arguments:
            run: the folder.
            data: what names other rows than those of the run, for commands that ask about rows.
            refits: whether the run has a description that can be fitted again; without, no command
                says so.
        """
        folder = fspath(run).rstrip("/")
        words = [word.replace("RUN", folder) for word in shlex.split(self.command)]
        if words[1:2] == ["fit"] and not refits:
            return replace(self, command="")
        return replace(
            self, command=shlex.join([*words, *(data if words[1:2] != ["fit"] and words else [])])
        )


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    """The mean of independent values and its standard error, nan for a single one."""
    error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return float(values.mean()), float(error)


def with_error(number: float, error: float) -> str:
    """A number and its standard error, where it has one.

    Example:
        >>> with_error(-3.14159, 0.01)
        '-3.142 ± 0.010'
    """
    return f"{number:.3f}" if math.isnan(error) else f"{number:.3f} ± {error:.3f}"


def factor(nats: float) -> str:
    """e to the power of so many nats, in two digits or as a power of ten.

    Example:
        >>> factor(2.0), factor(86.0)
        ('7.4', '10^37')
    """
    return f"{math.exp(nats):.2g}" if nats < 6 else f"10^{nats / math.log(10):.0f}"


def refit(guide: str) -> dict[str, str]:
    """The remedy that is another guide."""
    return {
        "remedy": f"fit again with guide '{guide}'",
        "python": f'pv.fit(pv.VAE.from_spec(vae.spec, guide="{guide}"), x_train)',
        "command": f"pyro-vae fit RUN/experiment.json --set guide={guide} --output RUN-{guide}",
    }


def failing(finding: Finding) -> bool:
    return finding.verdict == "fail"


@dataclass(frozen=True)
class Checkup:
    """The findings of a check-up, in order.

    Attributes:
        findings: one for each diagnostic.
        log_marginal, log_marginal_se: mean log p(x) and its standard error over rows, in nats; nan
            without a density.
    """

    findings: tuple[Finding, ...]
    log_marginal: float = math.nan
    log_marginal_se: float = math.nan

    @property
    def worst(self) -> Verdict:
        """ "fail" where anything failed, else "warn" where anything is weak, else "pass"."""
        found = {finding.verdict for finding in self.findings}
        order: tuple[Verdict, ...] = ("fail", "warn", "pass")
        return next((verdict for verdict in order if verdict in found), "none")

    def __getitem__(self, name: str) -> Finding:
        """The finding of that name.

        Raises:
            KeyError: there is none.
        """
        found = {finding.name: finding for finding in self.findings}
        if name not in found:
            raise KeyError(f"no finding {name!r}; there are {', '.join(map(repr, found))}")
        return found[name]

    @property
    def sentences(self) -> tuple[str, ...]:
        """Is the number to be believed? Is the model better than none, by how much? What is to be
        done next?

        None where it wasn't a model that was checked.
        """
        asks = TRUSTED in {finding.name for finding in self.findings}
        return (self._believed(), self._better(), self._next()) if asks else ()

    def for_run(
        self, run: str | PathLike[str], data: Sequence[str] = (), refits: bool = True
    ) -> "Checkup":
        """The same with the folder of a run in every command: see `Finding.for_run`."""
        return replace(
            self, findings=tuple(finding.for_run(run, data, refits) for finding in self.findings)
        )

    def __str__(self) -> str:
        lines = [*map(str, self.findings), "", f"{self.worst}: {READING[self.worst]}"]
        return "\n".join([*lines, "", *self.sentences] if self.sentences else lines)

    def _believed(self) -> str:
        trusted, number = (
            self[TRUSTED],
            f"log p(x) = {with_error(self.log_marginal, self.log_marginal_se)} nats a row",
        )
        broken = [finding.name for finding in self.findings if failing(finding)]
        if math.isnan(self.log_marginal):
            return f"There is no log p(x) that could be believed: {trusted.meaning}."
        if broken:
            return f"The number, {number}, is not to be believed: numbers that must agree do not ({', '.join(broken)})."
        if trusted.verdict == "pass":
            return f"The number, {number}, is to be believed: {trusted.meaning}."
        if trusted.verdict == "warn":
            return f"The number, {number}, is only a lower estimate: {trusted.meaning}."
        return f"Whether the number, {number}, is to be believed is not known: {trusted.meaning}."

    def _better(self) -> str:
        baseline = self[BASELINE]
        if baseline.verdict == "none":
            return f"Whether the model is better than no model is not known: {baseline.meaning}."
        by = f"by {with_error(abs(baseline.number), baseline.error)} nats a row"
        against = (
            "columns that are modelled one by one, as if they had nothing to do with each other"
        )
        if abs(baseline.number) <= 2 * baseline.error:
            return f"The model is no better than no model: it differs {by} from {against}, which may be chance."
        how, times = "worse" if baseline.number < 0 else "better", factor(abs(baseline.number))
        less = "less" if baseline.number < 0 else "more"
        return f"The model is {how} than no model, {by}: it calls a row {times} times {less} probable than {against}."

    def _next(self) -> str:
        todo = sorted((finding for finding in self.findings if finding.remedy), key=_urgency)
        if not todo:
            count = sum(finding.verdict == "pass" for finding in self.findings)
            return f"Nothing has to be done next: all {count} checks have passed."
        first = todo[0]
        how = f", with `{first.first_step}`" if first.first_step else ""
        return f"Next, because of '{first.name}': {first.remedy}{how}."


def _urgency(finding: Finding) -> int:
    """Contradictions first; then a model that is no better than none, or has collapsed; then an
    untrusted number.
    """
    collapsed = finding.name == LATENT and finding.number == 0
    order = [failing(finding), finding.name == BASELINE, collapsed, finding.name == TRUSTED]
    return order.index(True) if True in order else len(order)
