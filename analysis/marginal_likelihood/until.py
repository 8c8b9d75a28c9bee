"""When a row has draws enough: targets for the standard error and for k-hat, and a cap."""

from dataclasses import dataclass

import numpy as np

from pyro_vae.analysis.marginal_likelihood.pareto import LIMIT


@dataclass(frozen=True, kw_only=True)
class Until:
    """When a row has enough draws: both targets hold, or the cap is reached.

    A standard error can't be trusted where k-hat is high, so k-hat is a target by default; None
    drops it. More draws lower the standard error, but not k-hat: where the weights have a heavy
    tail, the cap is reached, and another proposal helps (`retry=` of `evidence`).

    Arguments:
        se: the largest standard error of log p(x), in nats.
        pareto_k: the largest k-hat.
        max_particles: the cap on the draws of a row.

    Raises:
        ValueError: no target, or one that isn't positive.

    Example:
        >>> Until(se=0.05)
        Until(se=0.05, pareto_k=0.7, max_particles=100000)
    """

    se: float | None = None
    pareto_k: float | None = LIMIT
    max_particles: int = 100_000

    def __post_init__(self) -> None:
        if self.se is None and self.pareto_k is None:
            raise ValueError(
                "until: expected a target, got none; give se=0.05 (nats), pareto_k=0.7, or both"
            )
        for name in ("se", "pareto_k", "max_particles"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(
                    f"until.{name}: expected a positive number, got {value}"
                )

    def holds(self, se: np.ndarray, pareto_k: np.ndarray) -> np.ndarray:
        """Whether the targets hold, for each row; nan meets no target."""
        met = np.full(se.shape, True)
        if self.se is not None:
            met &= se <= self.se
        if self.pareto_k is not None:
            met &= pareto_k <= self.pareto_k
        return met
