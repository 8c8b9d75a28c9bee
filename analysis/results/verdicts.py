"""The verdict of one diagnostic: what was measured, what it means and what to do about it."""

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike, fspath
from typing import Any, Literal

Verdict = Literal["pass", "warn", "fail", "none"]
TRUSTED = "rows with a trusted log p(x)"
BASELINE = "log p(x) - independent columns"
LATENT = "use of the latent space"
"""Names of findings that the three sentences of a check-up ask about."""
OURS = "ours"
REMEDIES = ("remedy", "python", "command")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one diagnostic measured, and what to do about it.

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
        >>> k_hat = {"name": "k-hat", "number": 0.2, "threshold": 0.7, "source": "Vehtari"}
        >>> print(Finding(verdict="pass", meaning="fine", **k_hat))
        pass  k-hat                   0.2                      at most 0.7 (Vehtari)
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
        """A pass, which needs no remedy, or the other verdict with its remedy.

        Arguments:
            good: whether it is a pass.
            otherwise: the verdict where it is not.
            passed, failed: the meaning of each.
            fields: the other attributes.
        """
        if not good:
            return cls(verdict=otherwise, meaning=failed, **fields)
        kept = {name: value for name, value in fields.items() if name not in REMEDIES}
        return cls(verdict="pass", meaning=passed, **kept)

    @property
    def value(self) -> str:
        """The number with its error and unit."""
        if math.isnan(self.number):
            return ""
        if self.unit == "p":
            return f"p = {self.number:.2g}" if self.number >= 1e-6 else "p < 1e-6"
        if math.isnan(self.error):
            return f"{self.number:.3g} {self.unit}".rstrip()
        return f"{with_error(self.number, self.error)} {self.unit}".rstrip()

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
        line = (
            f"{self.verdict:<5} {self.name:<32} {self.value:<33} {self.limit}".rstrip()
        )
        if self.verdict == "pass":
            return line
        lines = [line, f"      {self.meaning}"]
        if self.remedy:
            lines.append(f"      -> {self.remedy}")
        lines += [f"         {step}" for step in (self.python, self.command) if step]
        return "\n".join(lines)

    def for_run(
        self, run: str | PathLike[str], data: Sequence[str] = (), refits: bool = True
    ) -> "Finding":
        """The same with the folder of a run in its command.

        Arguments:
            run: the folder.
            data: arguments that name other rows than those of the run, for commands about rows.
            refits: whether the run has a description that can be fitted again; otherwise no
                command fits it.
        """
        folder = fspath(run).rstrip("/")
        words = [word.replace("RUN", folder) for word in shlex.split(self.command)]
        is_fit = words[1:2] == ["fit"]
        if is_fit and not refits:
            return replace(self, command="")
        if words and not is_fit:
            words += data
        return replace(self, command=shlex.join(words))


def with_error(number: float, error: float) -> str:
    """A number and its standard error, where it has one.

    Example:
        >>> with_error(-3.14159, 0.01)
        '-3.142 ± 0.010'
    """
    return f"{number:.3f}" if math.isnan(error) else f"{number:.3f} ± {error:.3f}"


def factor(nats: float) -> str:
    """e to the power of a number of nats, in two digits or as a power of ten.

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
        "command": f"pyro-vae fit RUN --set guide={guide} --output RUN-{guide}",
    }


def failing(finding: Finding) -> bool:
    return finding.verdict == "fail"
