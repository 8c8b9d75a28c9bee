"""How much of the latent space is used, in numbers and in words."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyro_vae.analysis.results.answer import Answer, Total
from pyro_vae.analysis.results.tables import html_table, yes_or_no
from pyro_vae.analysis.results.verdicts import LATENT, Finding, with_error

if TYPE_CHECKING:
    from pandas import DataFrame

READING = (
    "I(x; z) and KL(q(z) ‖ p(z)) lie between their bounds, which more rows bring together; "
    "± is one standard error over rows"
)


@dataclass(frozen=True, repr=False)
class LatentUse(Answer):
    """How much of the latent space is used; in nats where it has a unit.

    Attributes:
        variance: Var_x E_q[z_d] of each dimension, (latent_dim,); an active unit has more than
            `threshold`.
        threshold: for active units.
        rate, rate_se: the mean of KL(q(z | x) ‖ p(z)) over rows and its standard error.
        rate_per_dim: the mean over rows of KL(q(z_d | x) ‖ p(z_d)) of the marginals, (latent_dim,),
            which sum to the rate where the dimensions are independent in q(z | x) and p(z); a
            covariance in q adds its total correlation. nan where q or p has no marginals in closed
            form.
        information, information_upper: bounds of I(x; z) under q, from below and above in
            expectation; the lower one is at most log n.
        information_se, information_upper_se: their standard errors over rows.
        marginal_kl_se: standard errors over rows of the two bounds in `marginal_kl`.
        num_rows: n.
        mean, mean_se: of the aggregate posterior q(z) = (1/n) Σᵢ q(z | xᵢ), (latent_dim,).
        scale, scale_se: its standard deviation, (latent_dim,).
        prior_mean, prior_scale: those of the prior, (latent_dim,).
    """

    variance: np.ndarray
    threshold: float
    rate: float
    rate_se: float
    rate_per_dim: np.ndarray
    information: float
    information_se: float
    information_upper: float
    information_upper_se: float
    marginal_kl_se: tuple[float, float]
    num_rows: int
    mean: np.ndarray
    mean_se: np.ndarray
    scale: np.ndarray
    scale_se: np.ndarray
    prior_mean: np.ndarray
    prior_scale: np.ndarray

    @property
    def active(self) -> np.ndarray:
        """Which dimensions are active, (latent_dim,)."""
        return self.variance > self.threshold

    @property
    def active_units(self) -> int:
        """How many dimensions are active."""
        return int(self.active.sum())

    @property
    def marginal_kl(self) -> tuple[float, float]:
        """Bounds of KL(q(z) ‖ p(z)) = rate - I(x; z), which is never negative."""
        lower = self.rate - self.information_upper
        upper = self.rate - self.information
        return max(lower, 0.0), max(upper, 0.0)

    @property
    def warning(self) -> str:
        """What there is to say about dead units; empty where there are none."""
        dead = ~self.active
        if not dead.any():
            return ""
        count = f"{dead.sum()} of {len(dead)} units are dead"
        text = f"{count} (variance of their mean at most {self.threshold})"
        nats = self.rate_per_dim[dead].sum()
        if not math.isnan(nats):
            text += f"; together they carry {nats:.3f} of {self.rate:.3f} nats"
        if dead.all():
            return f"posterior collapse: {text}; z says nothing about x"
        return f"partial posterior collapse: {text}"

    @property
    def reading(self) -> str:
        return "\n".join([READING, *self._remarks()])

    def _remarks(self) -> Iterator[str]:
        ceiling = math.log(self.num_rows)
        if self.information > ceiling - 1:
            yield f"I(x; z) is near its ceiling log n = {ceiling:.3f}; pass more rows"
        if self.warning:
            yield self.warning

    def totals(self) -> Sequence[Total]:
        units = f"of {len(self.variance)}"
        kl = self.marginal_kl
        kl_se = self.marginal_kl_se
        missed = "what samples from the prior miss"
        return [
            Total(
                "active units",
                self.active_units,
                unit=units,
                note=f"{self.num_rows} rows",
            ),
            Total(
                "rate", self.rate, self.rate_se, "nats per row", "KL(q(z | x) ‖ p(z))"
            ),
            Total("I(x; z), at least", self.information, self.information_se, "nats"),
            Total(
                "I(x; z), at most",
                self.information_upper,
                self.information_upper_se,
                "nats",
            ),
            Total("KL(q(z) ‖ p(z)), at least", kl[0], kl_se[0], "nats"),
            Total("KL(q(z) ‖ p(z)), at most", kl[1], kl_se[1], "nats", missed),
            *self._extremes(),
        ]

    def _extremes(self) -> Iterator[Total]:
        """The dimensions in which q(z) differs most from the prior."""
        shift = np.abs(self.mean - self.prior_mean) / self.prior_scale
        shift_se = self.mean_se / self.prior_scale
        ratio = self.scale / self.prior_scale
        ratio_se = self.scale_se / self.prior_scale
        d = int(shift.argmax())
        unit = "prior standard deviations"
        yield Total(
            "largest shift of q(z)", shift[d], shift_se[d], unit, f"dimension {d}"
        )
        unit = "of the prior's"
        d = int(ratio.argmin())
        yield Total(
            "smallest width of q(z)", ratio[d], ratio_se[d], unit, f"dimension {d}"
        )
        d = int(ratio.argmax())
        yield Total(
            "largest width of q(z)", ratio[d], ratio_se[d], unit, f"dimension {d}"
        )

    def columns(self) -> Mapping[str, np.ndarray]:
        return {
            "active": self.active,
            "variance": self.variance,
            "rate": self.rate_per_dim,
            "mean": self.mean,
            "mean_se": self.mean_se,
            "scale": self.scale,
            "scale_se": self.scale_se,
            "prior_mean": self.prior_mean,
            "prior_scale": self.prior_scale,
        }

    def to_dataframe(self) -> "DataFrame":
        """One line for each latent dimension."""
        return super().to_dataframe().rename_axis(index="dimension")

    def finding(self) -> Finding:
        """The verdict on dead units."""
        total = len(self.variance)
        return Finding.judged(
            not self.warning,
            "warn",
            name=LATENT,
            number=self.active_units,
            unit=f"of {total} units active",
            threshold=total,
            side="at least",
            source=f"variance of the mean above {self.threshold}, Burda et al. 2016",
            passed="no unit is dead",
            failed=self.warning,
            **self._remedy(),
        )

    def _remedy(self) -> dict[str, str]:
        """Dead units can go; where all are dead, training has to start with a smaller KL weight."""
        units = self.active_units
        fit = "pyro-vae fit RUN --set"
        if units == 0:
            return {
                "remedy": "fit anew with a KL weight that grows from 0 over the first epochs",
                "python": "pv.fit(pv.VAE.from_spec(vae.spec), x_train, kl_warmup_epochs=50)",
                "command": f"{fit} fit.kl_warmup_epochs=50 --output RUN-annealed",
            }
        return {
            "remedy": f"leave it, or fit again with latent_dim {units}, which loses nothing",
            "python": f"pv.fit(pv.VAE.from_spec(vae.spec, latent_dim={units}), x_train)",
            "command": f"{fit} latent_dim={units} --output RUN-{units}-units",
        }

    def __repr__(self) -> str:
        units = f"{self.active_units} of {len(self.variance)}"
        rate = with_error(self.rate, self.rate_se)
        return f"LatentUse(rows={self.num_rows}, active units {units}, rate {rate} nats per row)"

    def _repr_html_(self) -> str:
        head = ["dimension", "active", "variance of the mean", "rate in nats"]
        head += ["mean of q(z)", "width of q(z)", "mean of p(z)", "width of p(z)"]
        lines = [self._html_line(d) for d in range(len(self.variance))]
        return super()._repr_html_() + html_table(head, lines)

    def _html_line(self, d: int) -> Sequence[str]:
        return [
            str(d),
            yes_or_no(self.active[d]),
            f"{self.variance[d]:.3f}",
            f"{self.rate_per_dim[d]:.3f}",
            with_error(self.mean[d], self.mean_se[d]),
            with_error(self.scale[d], self.scale_se[d]),
            f"{self.prior_mean[d]:.3f}",
            f"{self.prior_scale[d]:.3f}",
        ]
