"""Scores for decisions: which rows are unlikely under a model, how unlikely, and because of which
columns.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.analysis.marginal_likelihood.importance_sampling import evidence
from pyro_vae.analysis.marginal_likelihood.results import Evidence
from pyro_vae.analysis.outliers.columns import WHY, Shares, column_shares, factorises, names_of
from pyro_vae.analysis.outliers.conformal import discoveries, low_p_value, typicality_p_value
from pyro_vae.arguments import public
from pyro_vae.inputs import rows_of
from pyro_vae.vae import VAE

REFERENCE_SHARES = 500
"""Reference rows whose mean share of each column is what is usual."""
LEVEL = 0.1
"""False discovery rate of the outliers in the summary."""
SHOWN, TOP = 10, 3
"""Rows in the summary, and columns named for each."""


@dataclass(frozen=True, kw_only=True)
class Anomaly:
    """How unlikely each row is, and why; arrays have one entry a row, in nats where they have a
    unit.

    log p(x) = Σᵢ shareᵢ - rate,   shareᵢ = E[log p(xᵢ | z)],   rate = KL(p(z | x) ‖ p(z)),   E over
    p(z | x)

    Attributes:
        log_marginal: log p(x).
        se: its Monte Carlo standard error.
        trusted: whether log p(x) is to be trusted; where it isn't, it is likely too low.
        p_value: of "this row is like the held-out ones", small where log p(x) is low; nan without a
            reference.
        typicality: |log p(x) - mean log p(x) of the reference|; nan without one.
        typicality_p_value: small where log p(x) is far from that mean, on either side; nan without
            a reference.
        reference: log p(x) of the reference rows, (m,); none without one.
        shared: how many of the rows are reference rows too; their p-values say nothing.
        shares: what each column adds to log p(x), (row, column); None where p(x | z) is no product
            over columns.
        share_se: their Monte Carlo standard errors, (row, column); None where there are no shares.
        usual: mean share of each column over the reference rows, without them over all rows,
            (column,); or None.
        usual_rate: mean rate over the same rows; nan without shares.
        columns: names of the columns.
    """

    log_marginal: np.ndarray
    se: np.ndarray
    trusted: np.ndarray
    p_value: np.ndarray
    typicality: np.ndarray
    typicality_p_value: np.ndarray
    reference: np.ndarray
    shared: int
    shares: np.ndarray | None
    share_se: np.ndarray | None
    usual: np.ndarray | None
    usual_rate: float
    columns: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.log_marginal)

    @property
    def rate(self) -> np.ndarray:
        """Σᵢ shareᵢ - log p(x), (row,): KL(p(z | x) ‖ p(z)), how unusual the row's z is; nan
        without shares.
        """
        if self.shares is None:
            return np.full(len(self), np.nan)
        rate: np.ndarray = self.shares.sum(1) - self.log_marginal
        return rate

    @property
    def excess(self) -> np.ndarray:
        """share - usual, (row, column): below 0 where a column makes a row less likely than a usual
        one.

        Raises:
            ValueError: no shares.
        """
        if self.shares is None or self.usual is None:
            raise ValueError(f"shares: {WHY}")
        excess: np.ndarray = self.shares - self.usual
        return excess

    def worst(self, n: int = SHOWN) -> np.ndarray:
        """The indices of the n least likely rows, the least likely first."""
        return np.argsort(np.nan_to_num(self.log_marginal, nan=-np.inf), kind="stable")[:n]

    def outliers(self, level: float = LEVEL) -> np.ndarray:
        """The indices of unlikely rows among which a share of `level` at most is ordinary, on
        average.

        Raises:
            ValueError: no reference to calibrate by; a level that is not between 0 and 1.
        """
        if not len(self.reference):
            raise ValueError(
                "outliers: expected p-values, got none; pass reference=held_out_rows to anomaly"
            )
        return discoveries(self.p_value, level)

    def top_columns(self, row: int, count: int = TOP) -> list[tuple[str, float]]:
        """What makes a row less likely than a usual one, the worst first, and by how many nats.

        All columns and "rate", which stands for an unusual z, add up to log p(x) - usual log p(x).

        Raises:
            ValueError: no shares.
        """
        excess = np.append(self.excess[row], self.usual_rate - self.rate[row])
        names = (*self.columns, "rate")
        order = [part for part in np.argsort(excess, kind="stable")[:count] if excess[part] < 0]
        return [(names[part], float(excess[part])) for part in order]

    def to_dataframe(self, top: int = TOP) -> Any:
        """A pandas DataFrame, one line a row of x, the least likely first; its index is the row's
        position.
        """
        import pandas as pd

        order = self.worst(len(self))
        names = ("log_marginal", "se", "p_value", "typicality", "typicality_p_value", "trusted")
        table = pd.DataFrame({"row": order, **{name: getattr(self, name)[order] for name in names}})
        if self.shares is not None:
            table["rate"] = self.rate[order]
            table["top_columns"] = [self._named(row, top) for row in order]
        return table

    def summary(self, n: int = SHOWN) -> str:
        """How many rows stand out, the n least likely ones, and how to read the numbers."""
        low, middle, high = np.quantile(self.log_marginal, [0, 0.5, 1])
        lines = [
            (
                f"anomaly of {len(self)} rows: log p(x) from {low:.2f} to {high:.2f} nats, median "
                f"{middle:.2f}"
            ),
            f"trusted on {self.trusted.sum()} of {len(self)} rows"
            + (
                ""
                if self.trusted.all()
                else "; on the others log p(x) is likely too low, and they seem too unlikely"
            ),
            *self._calibrated(),
            f"{'row':>6} {'log p(x)':>18} {'p':>8} {'typical p':>10}  trusted  "
            "columns that make it less likely (nats below the usual)",
            *(self._line(row) for row in self.worst(n)),
        ]
        return "\n".join(lines if self.shares is not None else [*lines, f"no columns: {WHY}"])

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        return f"Anomaly of {len(self)} rows, {len(self.reference)} reference rows; print it, or see .to_dataframe()"

    def _calibrated(self) -> list[str]:
        count = len(self.reference)
        if not count:
            return ["no p-values: pass reference=held_out_rows, which the model was not fitted to"]
        found, unlikely = self.outliers(), int((self.p_value <= 0.01).sum())
        atypical = int((self.typicality_p_value <= 0.01).sum())
        likely = int(
            ((self.typicality_p_value <= 0.01) & (self.log_marginal > self.reference.mean())).sum()
        )
        lines = [
            f"{count} reference rows, mean log p(x) {self.reference.mean():.2f}; "
            f"the smallest possible p is {1 / (count + 1):.2g}",
            f"p <= 0.01: {unlikely} rows ({0.01 * len(self):.3g} expected of ordinary ones); "
            f"typical p <= 0.01: {atypical} rows, {likely} of them too likely",
            f"outliers at a false discovery rate of {LEVEL:.0%}: {len(found)} rows",
        ]
        needed = math.ceil(len(self) / LEVEL) - 1
        if count < needed:
            lines.append(
                f"one outlier alone among {len(self)} rows needs {needed} reference rows to be "
                "found"
            )
        if self.shared:
            lines.append(f"{self.shared} rows are reference rows too: their p-values say nothing")
        return lines

    def _line(self, row: int) -> str:
        number = f"{self.log_marginal[row]:.2f} ± {self.se[row]:.2f}"
        p, typical = (f"{value:.3g}" for value in (self.p_value[row], self.typicality_p_value[row]))
        trusted = "yes" if self.trusted[row] else "no"
        named = self._named(row, TOP) if self.shares is not None else ""
        return f"{row:6d} {number:>18} {p:>8} {typical:>10}  {trusted:<7}  {named}".rstrip()

    def _named(self, row: int, top: int) -> str:
        return ", ".join(f"{name} ({nats:+.1f})" for name, nats in self.top_columns(row, top))


@public
def anomaly(
    vae: VAE,
    x: Any,
    *,
    reference: Any = None,
    columns: Sequence[str] | None = None,
    shares: bool | None = None,
    num_particles: int = 1000,
    num_samples: int = 500,
    seed: int = 0,
    progress: bool | None = False,
) -> Anomaly:
    """Score rows by log p(x), with calibrated p-values, typicality, and each column's share.

    p = (1 + #{log p of a reference row ≤ log p(x)}) / (m + 1) for m reference rows

    is at most a with probability at most a for a row like the reference rows, whatever the model
    and however rough its estimate of log p, which is the same for both; it is only as sharp as both
    are good. The reference rows must not have been fitted to: those are too likely, and every new
    row then seems an outlier.

    A low log p(x) is not what makes a row strange to a person, and a high one is no proof of the
    contrary. Densities of images follow their smoothness and contrast: models of CIFAR-10 find SVHN
    more likely than CIFAR-10 (Nalisnick et al., 2019), and an empty image may be the likeliest of
    all. So look at `typicality_p_value` too, which is small for a row that is too likely. log p(x)
    of densities also depends on the units of x: a monotone transform of a column changes the order
    of the rows. Whole-row scores miss what a single column shows when there are many: see `excess`.

    References:
        Do Deep Generative Models Know What They Don't Know? (Nalisnick, Matsukawa, Teh, Gorur,
        Lakshminarayanan, 2019), for what log p(x) can't tell.
        Detecting Out-of-Distribution Inputs to Deep Generative Models Using Typicality (Nalisnick,
        Matsukawa, Teh, Lakshminarayanan, 2019).
        Testing for Outliers with Conformal p-values (Bates, Candès, Lei, Romano, Sesia, 2023).

    Arguments:
        vae: a fitted model whose guide and prior have densities.
        x: rows shaped (n, *data_shape).
        reference: ordinary rows that the model was not fitted to, (m, *data_shape); None for no
            p-values.
        columns: names of the numbers of a row.
        shares: True: each column's share of log p(x), False: none, None: where p(x | z) is a
            product over columns.
        num_particles: draws of each row for log p(x), as in `evidence`.
        num_samples: draws of each row for the shares.
        seed: of the draws.
        progress: show bars; None on a terminal only.

    Returns:
        `Anomaly`; print it.

    Raises:
        ValueError: no rows, rows that don't fit the model, an autoencoder, other names than
            columns; shares=True for a likelihood that is no product over columns.

    Example:
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> found = anomaly(vae, torch.zeros(3, 4), reference=torch.ones(9, 4), num_particles=50, num_samples=20)
        >>> found.p_value.shape, found.shares.shape, len(found.to_dataframe())
        ((3,), (3, 4), 3)
    """
    names = names_of(
        getattr(x, "columns", None) if columns is None else columns, vae.spec.data_shape
    )
    has_shares = shares is not False and factorises(vae, next(rows_of(vae, x, "x"))[:1])
    if shares and not has_shares:
        raise ValueError(f"shares: {WHY}")
    if num_samples < 2:
        raise ValueError(f"num_samples: expected at least 2, got {num_samples}")
    usual_rows = None if reference is None else _first_rows(vae, reference)
    how: dict[str, Any] = {"num_particles": num_particles, "seed": seed, "progress": progress}
    known = None if reference is None else evidence(vae, reference, **how)
    found = evidence(vae, x, **how)
    parts: dict[str, Any] = {"shares": None, "share_se": None, "usual": None, "usual_rate": np.nan}
    if has_shares:
        own = column_shares(vae, x, num_samples=num_samples, seed=seed, progress=progress)
        others = (
            own
            if usual_rows is None
            else column_shares(vae, usual_rows, num_samples=num_samples, seed=seed)
        )
        parts = _parts(own, others, (known or found).log_marginal)
    return Anomaly(
        log_marginal=found.log_marginal,
        se=found.se,
        trusted=~found.unreliable,
        **_scores(found, known),
        **parts,
        columns=names,
    )


def _parts(own: Shares, others: Shares, log_marginal: np.ndarray) -> dict[str, Any]:
    """Shares, and what is usual by those of other rows, of which the first ones' log p(x) is known."""
    usual = others.value.mean(0)
    return {
        "shares": own.value,
        "share_se": own.se,
        "usual": usual,
        "usual_rate": float(usual.sum() - log_marginal[: len(others.value)].mean()),
    }


def _first_rows(vae: VAE, reference: Any) -> Tensor:
    """The rows whose shares are what is usual. All are checked, before anything takes long."""
    parts: list[Tensor] = []
    for batch in rows_of(vae, reference, "reference"):
        parts += [batch] if sum(map(len, parts)) < REFERENCE_SHARES else []
    return torch.cat(parts)[:REFERENCE_SHARES]


def _scores(found: Evidence, known: Evidence | None) -> dict[str, Any]:
    """How log p(x) of the rows stands among that of the reference."""
    score = found.log_marginal
    if known is None:
        nothing = np.full(len(score), np.nan)
        names = ("p_value", "typicality", "typicality_p_value")
        return {**dict.fromkeys(names, nothing), "reference": np.zeros(0), "shared": 0}
    return {
        "p_value": low_p_value(score, known.log_marginal),
        "typicality": np.abs(score - known.log_marginal.mean()),
        "typicality_p_value": typicality_p_value(score, known.log_marginal),
        "reference": known.log_marginal,
        "shared": int(np.isin(found.row_hashes, known.row_hashes).sum()),
    }
