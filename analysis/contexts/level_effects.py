"""`random_effects`: the vectors of the levels of a context, with their errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyro_vae.analysis.fitted import as_numpy, evaluation
from pyro_vae.analysis.results.answer import Answer, Total
from pyro_vae.analysis.results.levels import require_share
from pyro_vae.arguments import public
from pyro_vae.vae import VAE


@dataclass(frozen=True, repr=False)
class LevelEffects(Answer):
    """The random effects of a model: q(u) = N(mean, sd²) of each level and component.

    Attributes:
        column: name of the column of the context, (n,).
        level: its level, (n,).
        component: number of the component of the level's vector, from 0, (n,).
        mean, sd: of q(u), in the units of the networks' inputs, (n,).
        scales: s of each column by name: u ~ N(0, s²) before the data.
    """

    column: np.ndarray
    level: np.ndarray
    component: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    scales: Mapping[str, float]

    reading = (
        "s is the standard deviation of effects before the data; where it is learned, it and the "
        "weights that an effect is multiplied by are known together only: compare effects with s, "
        "or ask transfer what a level does to the columns"
    )

    def totals(self) -> Sequence[Total]:
        totals = []
        for name, scale in self.scales.items():
            chosen = self.column == name
            shrinkage = 1 - float(np.square(self.sd[chosen] / scale).mean())
            levels = len(set(self.level[chosen].tolist()))
            note = (
                f"{levels} levels; {max(shrinkage, 0.0):.0%} of s² known from the data"
            )
            totals.append(Total(f"s of {name}", scale, note=note))
        return totals

    def columns(self) -> Mapping[str, np.ndarray]:
        return {
            "column": self.column,
            "level": self.level,
            "component": self.component,
            "mean": self.mean,
            "sd": self.sd,
        }

    def interval(self, level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """The central interval of each component under q(u), two arrays (n,).

        Arguments:
            level: the probability inside, between 0 and 1.

        Raises:
            ValueError: a level outside of (0, 1).
        """
        from scipy.stats import norm

        require_share(level)
        half = norm.ppf((1 + level) / 2) * self.sd
        return self.mean - half, self.mean + half

    def __repr__(self) -> str:
        shown = ", ".join(f"s of {name} {s:.3g}" for name, s in self.scales.items())
        return f"LevelEffects({shown})"


@public
def random_effects(vae: VAE) -> LevelEffects:
    """What a model has learned of the levels of its random effects.

    u_k ~ N(0, s² I) has q(u_k) = N(m_k, diag v_k), where few rows of a level leave m_k near 0 and
    v_k near s².

    References:
        That BLUP is a Good Thing: The Estimation of Random Effects (Robinson, 1991).

    Arguments:
        vae: a fitted model with a column {"kind": "random_effect"} in its context.

    Returns:
        `LevelEffects`: m and √v of each level, and s.

    Raises:
        ValueError: a model without random effects.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"x": [0.5, -1.5, 2.0], "batch": ["a", "b", "a"]})
        >>> context = {"columns": {"batch": "random_effect"}}
        >>> vae = VAE.from_data(frame, latent_dim=1, context=context)
        >>> random_effects(vae).level.tolist()
        ['a', 'b']
    """
    priors, posteriors = vae.model.effects, vae.guide.effects
    context = vae.spec.context
    if priors is None or posteriors is None or context is None:
        raise ValueError(
            "random_effects: expected a model with a random effect, got one without; make it with "
            "VAE.from_data(frame, context={'columns': {'batch': 'random_effect'}})"
        )
    assert context.table is not None
    parts: list[dict[str, Any]] = []
    with evaluation(vae):
        scales = [float(scale) for scale in priors.each_scale()]
        for effect, q in zip(priors.effects, posteriors.distributions(), strict=True):
            levels = context.table.modelled[effect.position].levels or ()
            known = slice(effect.levels)  # without the new one
            parts.append(
                {
                    "column": np.full(effect.levels * effect.dim, effect.name, object),
                    "level": np.repeat(np.array(levels, object), effect.dim),
                    "component": np.tile(np.arange(effect.dim), effect.levels),
                    "mean": as_numpy(q.mean[known].flatten()),
                    "sd": as_numpy(q.stddev[known].flatten()),
                }
            )
    whole = {name: np.concatenate([one[name] for one in parts]) for name in parts[0]}
    names = [effect.name for effect in priors.effects]
    return LevelEffects(**whole, scales=dict(zip(names, scales, strict=True)))
