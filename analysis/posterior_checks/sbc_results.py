"""Ranks of simulation-based calibration, their tests, and what they say in words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyro_vae.analysis.posterior_checks.uniformity import components, holm, uniformity
from pyro_vae.analysis.results.answer import Answer, Total
from pyro_vae.analysis.results.tables import html_paragraph, html_table
from pyro_vae.analysis.results.verdicts import Finding, refit

SIGNIFICANT = 0.01
"""A p-value below this is called a departure from calibration."""
VISIBLE = 3
"""Standard errors from which on a component of the smooth test names the shape of the ranks."""
SHOWN = 5
"""Latent dimensions in the summary, the worst first."""
SCOPE = (
    "It shows whether q(z | x) is p(z | x) on rows drawn from the model, on average over p(x). It "
    "does not show that\n"
    "the model fits your rows, that the guide is right on your rows, or that it is right on each "
    "row by itself."
)


@dataclass(frozen=True, repr=False)
class Calibration(Answer):
    """Where the true z of each simulated row stands among its draws.

    The ranks are uniform if the draws are from p(z | x). p-values are of Neyman's smooth test of
    uniformity: the chi-squared of the first four Legendre polynomials.

    References:
        'Smooth test' for goodness of fit (Neyman, 1937).

    Attributes:
        pit: (rank + u) / (num_samples + 1) of z, with the rank from 0 to `num_samples` and
            u ~ U(0, 1), (num_rows, latent_dim).
        joint_pit: the same of log p(x, z), which sees what the dimensions hide: correlations, a
            guide that ignores x.
        num_samples: draws for each row.
        resample: proposals of each row that the draws were resampled from; None for the guide's own
            draws.
    """

    pit: np.ndarray
    joint_pit: np.ndarray
    num_samples: int
    resample: int | None

    reading = SCOPE

    @property
    def rank(self) -> np.ndarray:
        """How many draws lie below the truth, from 0 to `num_samples`, (num_rows, latent_dim)."""
        return np.floor(self.pit * (self.num_samples + 1)).astype(int)

    @property
    def p_values(self) -> np.ndarray:
        """Of each latent dimension, (latent_dim,), not corrected for their number."""
        return uniformity(self.pit)

    @property
    def joint_p_value(self) -> float:
        """Of log p(x, z)."""
        return float(uniformity(self.joint_pit))

    @property
    def adjusted(self) -> np.ndarray:
        """Holm's p-values of the latent dimensions and, last, of log p(x, z), (latent_dim + 1,)."""
        return holm(np.append(self.p_values, self.joint_p_value))

    @property
    def p_value(self) -> float:
        """Of everything: Bonferroni's over dimensions and log p(x, z), which is Holm's smallest."""
        return float(self.adjusted.min())

    @property
    def is_calibrated(self) -> bool:
        """Whether no departure from calibration was found: the overall p-value is at least 0.01."""
        return self.p_value >= SIGNIFICANT

    def coverage(self, level: float = 0.9) -> np.ndarray:
        """Share of rows whose true z is in the central interval of that level, (latent_dim,)."""
        return (np.abs(self.pit - 0.5) < level / 2).mean(0)

    def totals(self) -> Sequence[Total]:
        num_rows, latent_dim = self.pit.shape
        test = f"smooth test, Bonferroni over {latent_dim} dimensions and log p(x, z)"
        return [
            Total("rows drawn from the model", num_rows),
            Total("draws of each", self.num_samples),
            Total("p-value", self.p_value, text=f"{self.p_value:.2g}", note=test),
        ]

    def columns(self) -> Mapping[str, np.ndarray]:
        """The ranks and pits of each simulated row, (num_rows,) each."""
        dims = range(self.pit.shape[1])
        ranks = {f"rank[{d}]": self.rank[:, d] for d in dims}
        pits = {f"pit[{d}]": self.pit[:, d] for d in dims}
        return {**ranks, **pits, "joint_pit": self.joint_pit}

    def summary(self) -> str:
        """The overall p-value, the worst dimensions in words, and what they do and do not show."""
        num_rows, latent_dim = self.pit.shape
        source = "the guide"
        if self.resample is not None:
            source += f", resampled from {self.resample} proposals"
        worst = np.argsort(self.adjusted[:latent_dim], kind="stable")[:SHOWN]
        return "\n".join(
            [
                f"calibration of {source}: {num_rows} rows drawn from the model, "
                f"{self.num_samples} draws each",
                f"overall      p = {self.p_value:<8.2g}   {self._verdict()}   (smooth test, "
                f"Bonferroni over {latent_dim} dimensions and log p(x, z))",
                *(self._line(d) for d in worst),
                f"log p(x, z)  p = {self.adjusted[-1]:<8.2g}   {self._joint_shape()}",
                f"(p-values after Holm; the worst {len(worst)} of {latent_dim} dimensions)",
                self.reading,
            ]
        )

    def finding(self, guide: str = "semi_amortized") -> Finding:
        """The verdict; where it is no pass, the remedy is a guide of this kind."""
        return Finding.judged(
            self.is_calibrated,
            "warn",
            name="calibration of the guide",
            number=self.p_value,
            unit="p",
            threshold=SIGNIFICANT,
            side="at least",
            source="ours; the test: Talts et al. 2018, Neyman 1937",
            passed="on rows of the model, intervals of q(z | x) contain the true z as often as "
            "they should",
            failed="on rows of the model, q(z | x) is off; print(pv.calibration(vae)) shows in "
            "which dimension and how",
            **refit(guide),
        )

    def __repr__(self) -> str:
        rows = f"rows={len(self.pit)}, samples={self.num_samples}"
        return f"Calibration({rows}, p = {self.p_value:.2g}: {self._verdict()})"

    def _repr_html_(self) -> str:
        head = ["", "p-value (Holm)", "90% intervals contain the truth", "ranks"]
        lines = [self._html_line(d) for d in range(self.pit.shape[1])]
        lines.append(
            ["log p(x, z)", f"{self.adjusted[-1]:.2g}", "", self._joint_shape()]
        )
        verdict = html_paragraph(f"overall p = {self.p_value:.2g}: {self._verdict()}")
        return verdict + html_table(head, lines) + html_paragraph(self.reading)

    def _html_line(self, d: int) -> list[str]:
        return [f"z[{d}]", f"{self.adjusted[d]:.2g}", self._coverage(d), self._shape(d)]

    def _verdict(self) -> str:
        return "no departure found" if self.is_calibrated else "NOT calibrated"

    def _line(self, d: int) -> str:
        name = f"z[{d}]"
        covered = f"90% intervals contain the truth {self._coverage(d)}"
        return (
            f"{name:<11}  p = {self.adjusted[d]:<8.2g}   {covered}   {self._shape(d)}"
        )

    def _coverage(self, d: int) -> str:
        share = self.coverage()[d]
        error = math.sqrt(share * (1 - share) / len(self.pit))
        return f"{share:.1%} ± {error:.1%}"

    def _shape(self, d: int) -> str:
        slope, curvature = components(self.pit[:, d])[:2]
        shapes = {
            "too narrow (ranks U-shaped)": curvature > VISIBLE,
            "too wide (ranks dome-shaped)": curvature < -VISIBLE,
            "too low (ranks rise)": slope > VISIBLE,
            "too high (ranks fall)": slope < -VISIBLE,
        }
        return _in_words(self.adjusted[d], shapes)

    def _joint_shape(self) -> str:
        slope = components(self.joint_pit)[0]
        less = "draws less probable than the truth: too wide, biased, or blind to correlations"
        more = "draws more probable than the truth: too narrow"
        return _in_words(
            self.adjusted[-1], {less: slope > VISIBLE, more: slope < -VISIBLE}
        )


def _in_words(p_value: float, shapes: Mapping[str, Any]) -> str:
    """The shapes that are there, for a p-value that is significant."""
    if p_value >= SIGNIFICANT:
        return "no departure seen"
    visible = [shape for shape, is_visible in shapes.items() if is_visible]
    return ", ".join(visible) or "ranks of another shape"
