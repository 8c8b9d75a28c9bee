"""What NUTS found for some rows, how far the guide is from it, and what that means in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pyro_vae.analysis.bridge.arviz_objects import library_attributes, to_datatree
from pyro_vae.analysis.marginal_likelihood.pareto import khat_limit
from pyro_vae.analysis.posterior_checks.limits import RATIO, SHIFT
from pyro_vae.analysis.posterior_checks.moments import Difference, Moments
from pyro_vae.analysis.results.answer import Answer, Total
from pyro_vae.analysis.results.tables import html_paragraph, html_table
from pyro_vae.analysis.results.verdicts import Finding, refit

R_HAT = 1.01
"""The largest R-hat of chains that are trusted (Vehtari et al., 2021)."""
ESS = 400
"""The smallest effective number of draws of chains that are trusted (Vehtari et al., 2021)."""
WORST = "shift          ratio         "
HEADER = f"""\
       NUTS                guide: worst               resampled: worst
 row   R-hat    ESS  div.   {WORST} {WORST}k-hat  verdict"""
READING = f"""\
shift: (mean - NUTS mean) / NUTS sd; ratio: sd / NUTS sd, below 1 is too narrow; ± a standard error.
agrees: shifts below {SHIFT}, ratios below a factor of {RATIO}. inconclusive: R-hat above {R_HAT}, \
ESS below {ESS},
or divergences: raise warmup_steps and num_samples before you blame the guide."""

Verdict = Literal["agrees", "agrees after resampling", "differs", "inconclusive"]
VERDICTS: tuple[Verdict, ...] = (
    "agrees",
    "agrees after resampling",
    "differs",
    "inconclusive",
)


@dataclass(frozen=True, repr=False)
class Audit(Answer):
    """Draws of NUTS for some rows, and how far the guide is from them.

    Attributes:
        z: draws of NUTS after warm-up, (chain, draw, row, latent).
        r_hat: rank-normalised split R-hat, (row, latent); above 1.01 the chains disagree.
        ess: effective number of draws in the bulk, (row, latent).
        divergences: transitions after warm-up that diverged, (row,).
        pareto_k: of the guide's importance weights, (row,); above `khat_limit` resampling is not to
            be trusted.
        num_particles: draws of the guide.
        nuts: mean and standard deviation by NUTS.
        guide: the guide compared with NUTS.
        resampled: the guide under its self-normalised importance weights, which is the limit of
            resampling, compared with NUTS.
        warmup_steps: transitions of each chain that were dropped.
        row_labels: names of the rows, where the data have some, else None.
        diverging: whether a transition after warm-up diverged, (chain, draw, row); None where that
            is not known.
    """

    z: np.ndarray
    r_hat: np.ndarray
    ess: np.ndarray
    divergences: np.ndarray
    pareto_k: np.ndarray
    num_particles: int
    nuts: Moments
    guide: Difference
    resampled: Difference
    warmup_steps: int
    row_labels: tuple[Any, ...] | None = None
    diverging: np.ndarray | None = None

    reading = READING

    @property
    def converged(self) -> np.ndarray:
        """Whether the chains of a row can be trusted, (row,)."""
        is_mixed = (self.r_hat <= R_HAT) & (self.ess >= ESS)
        return np.logical_and(is_mixed.all(1), self.divergences == 0)

    @property
    def verdicts(self) -> list[Verdict]:
        """Of each row: whether the guide agrees with NUTS; "inconclusive" if NUTS didn't converge.

        "agrees after resampling" is a guide whose importance weights correct it, with a k-hat that
        can be trusted.
        """
        is_reliable = self.pareto_k <= khat_limit(self.num_particles)
        is_corrected = self.resampled.small & is_reliable
        facts = zip(self.converged, self.guide.small, is_corrected, strict=True)
        return [_verdict(*fact) for fact in facts]

    def totals(self) -> Sequence[Total]:
        verdicts = self.verdicts
        unit = f"of {len(verdicts)} rows"
        return [
            Total(verdict, verdicts.count(verdict), unit=unit) for verdict in VERDICTS
        ]

    def columns(self) -> Mapping[str, np.ndarray]:
        """The worst number over the latent dimensions of each row, (row,) each."""
        rows = range(len(self.divergences))
        columns = {
            "verdict": np.array(self.verdicts),
            "r_hat": self.r_hat.max(1),
            "ess": self.ess.min(1),
            "divergences": self.divergences,
            "pareto_k": self.pareto_k,
        }
        for name, difference in (("guide", self.guide), ("resampled", self.resampled)):
            worst = [difference.worst(row) for row in rows]
            for field in ("shift", "shift_se", "ratio", "ratio_se"):
                columns[f"{name}_{field}"] = np.array(
                    [getattr(one, field) for one in worst]
                )
        return columns

    def labels(self) -> Sequence[Any] | None:
        return self.row_labels

    def summary(self) -> str:
        """A line for each row, and how to read it."""
        chains, draws, rows, _ = self.z.shape
        title = (
            f"audit by NUTS: {rows} rows, {chains} chains of {draws} draws after "
            f"{self.warmup_steps} of warm-up"
        )
        lines = [self._line(row, verdict) for row, verdict in enumerate(self.verdicts)]
        return "\n".join([title, HEADER, *lines, self.reading])

    def finding(self, guide: str = "semi_amortized") -> Finding:
        """The verdict over all rows; where it is no pass, the remedy is a guide of this kind."""
        verdicts = self.verdicts
        rows = len(verdicts)
        agree = sum(verdict.startswith("agrees") for verdict in verdicts)
        inconclusive = verdicts.count("inconclusive")
        longer = {
            "remedy": "run longer chains",
            "python": "pv.audit(vae, x[:1], num_samples=2000, warmup_steps=2000)",
        }
        ours = f"shift {SHIFT} sd, ratio {RATIO}: ours"
        theirs = f"R-hat {R_HAT}, ESS {ESS}: Vehtari et al. 2021"
        return Finding.judged(
            agree == rows,
            "warn",
            name="audit by NUTS",
            number=agree,
            unit=f"of {rows} rows agree",
            threshold=rows,
            side="at least",
            source=f"{ours}; {theirs}",
            passed="the guide, resampled where needed, has the means and widths that Markov chains "
            "find",
            failed=f"{rows - agree - inconclusive} rows differ, {inconclusive} are inconclusive: "
            "the chains did not converge",
            **(longer if inconclusive else refit(guide)),
        )

    def to_arviz(self) -> Any:
        """The draws as what the installed ArviZ takes; here R-hat and ESS mean something.

        Returns:
            An `arviz.InferenceData` on ArviZ 0.x, an `xarray.DataTree` on ArviZ 1.x: the groups
            posterior, z (chain, draw, observation, latent), and sample_stats, diverging (chain,
            draw, observation), with the labels of the rows. What looks at diverging transitions
            wants those of one row: `tree.isel(observation=0)`.
        """
        groups = {"posterior": {"z": self.z}}
        if self.diverging is not None:
            groups["sample_stats"] = {"diverging": self.diverging}
        attrs = library_attributes() | {"warmup_steps": self.warmup_steps}
        labels = self.row_labels
        return to_datatree(groups, attrs=attrs, rows=labels, has_chains=True)

    def _chains(self, row: int) -> tuple[str, str, str]:
        """R-hat, effective number of draws and divergences of a row."""
        r_hat = self.r_hat[row].max()
        ess = self.ess[row].min()
        return f"{r_hat:5.3f}", f"{ess:6.0f}", f"{self.divergences[row]:5d}"

    def _line(self, row: int, verdict: Verdict) -> str:
        chains = " ".join(self._chains(row))
        worst = f"{self.guide.worst(row)}  {self.resampled.worst(row)}"
        return f"{row:4d}   {chains}  {worst}  {self.pareto_k[row]:5.2f}  {verdict}"

    def __repr__(self) -> str:
        counts = [
            f"{total.value} {total.name}" for total in self.totals() if total.value
        ]
        return f"Audit(rows={len(self.divergences)}: {', '.join(counts)})"

    def _repr_html_(self) -> str:
        head = ["row", "R-hat", "ESS", "divergences", "guide: shift, ratio"]
        head += ["resampled: shift, ratio", "k-hat", "verdict"]
        lines = []
        for row, verdict in enumerate(self.verdicts):
            worst = [str(self.guide.worst(row)), str(self.resampled.worst(row))]
            k_hat = f"{self.pareto_k[row]:.2f}"
            lines.append([str(row), *self._chains(row), *worst, k_hat, verdict])
        return html_table(head, lines) + html_paragraph(self.reading)


def _verdict(converged: bool, agrees: bool, is_corrected: bool) -> Verdict:
    if not converged:
        return "inconclusive"
    if agrees:
        return "agrees"
    return "agrees after resampling" if is_corrected else "differs"
