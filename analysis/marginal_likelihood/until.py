"""When a row has draws enough: targets for the standard error and for k-hat, and a cap."""

from dataclasses import dataclass

import numpy as np

from pyro_vae.analysis.marginal_likelihood.pareto import LIMIT


@dataclass(frozen=True, kw_only=True)
class Until:
    """When a row has draws enough: both targets hold, or the cap is reached.

    A standard error alone can't be trusted where k-hat is high, so that is a target by default;
    None drops it. More draws lower the standard error; k-hat they only make surer: where the
    weights' tail is heavy, the cap is reached, and another proposal helps (`retry=` of `evidence`).

    Arguments:
        se: the largest standard error of log p(x), in nats.
        pareto_k: the largest k-hat.
        max_particles: the cap on a row's draws.

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
                raise ValueError(f"until.{name}: expected a positive number, got {value}")

    def holds(self, se: np.ndarray, pareto_k: np.ndarray) -> np.ndarray:
        """Whether the targets hold, for each row; a number that is nan holds nothing."""
        small = np.full(se.shape, True) if self.se is None else se <= self.se
        return small if self.pareto_k is None else small & (pareto_k <= self.pareto_k)
