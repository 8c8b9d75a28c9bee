"""Means and standard deviations of z with their standard errors, and two of them side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from pyro_vae.analysis.export.arviz_objects import _arviz

SHIFT, RATIO = 0.2, 1.2
"""A guide agrees with NUTS while its means are off by less than 0.2 sd and its sds by less than a
factor of 1.2.
"""


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation of z in each row, with their Monte Carlo standard errors, all
    (row, latent).
    """

    mean: np.ndarray
    mean_se: np.ndarray
    sd: np.ndarray
    sd_se: np.ndarray


@dataclass(frozen=True)
class Difference:
    """A distribution of z beside the one that NUTS found, all (row, latent).

    Attributes:
        shift, shift_se: (mean - NUTS mean) / NUTS sd.
        ratio, ratio_se: sd / NUTS sd; below 1 is too narrow.
    """

    shift: np.ndarray
    shift_se: np.ndarray
    ratio: np.ndarray
    ratio_se: np.ndarray

    @classmethod
    def between(cls, found: Moments, nuts: Moments) -> "Difference":
        shift, ratio = (found.mean - nuts.mean) / nuts.sd, found.sd / nuts.sd
        shift_se = np.hypot(np.hypot(found.mean_se, nuts.mean_se), shift * nuts.sd_se) / nuts.sd
        return cls(shift, shift_se, ratio, np.hypot(found.sd_se, ratio * nuts.sd_se) / nuts.sd)

    @property
    def small(self) -> np.ndarray:
        """Whether all shifts and ratios of a row are below `SHIFT` and `RATIO`, within 3 standard
        errors, (row,).
        """
        shift_fits = np.abs(self.shift) <= SHIFT + 3 * self.shift_se
        ratio_fits = (self.ratio <= RATIO + 3 * self.ratio_se) & (
            self.ratio >= 1 / RATIO - 3 * self.ratio_se
        )
        fits: np.ndarray = (shift_fits & ratio_fits).all(1)
        return fits

    def worst(self, row: int) -> str:
        """The largest shift and the ratio farthest from 1, each with its standard error."""
        i, j = np.abs(self.shift[row]).argmax(), np.abs(np.log(self.ratio[row])).argmax()
        shift, ratio = self.shift[row, i], self.ratio[row, j]
        return f"{shift:+6.2f} ± {self.shift_se[row, i]:.2f}   {ratio:5.2f} ± {self.ratio_se[row, j]:.2f}"


def weighted_moments(z: Tensor, log_weights: Tensor) -> tuple[np.ndarray, ...]:
    """Mean, its standard error, sd, its standard error, (latent,), of draws (draw, latent) under
    weights (draw,).

    The weights are normalised to w with sum one: mean = Σ w z and sd² = Σ w (z - mean)², with the
    errors of independent draws, √Σ w² (z - mean)² and, by the delta method, √Σ w² ((z - mean)² -
    sd²)² / 2 sd.

    Example:
        >>> import torch
        >>> [part.item() for part in weighted_moments(torch.tensor([[0.0], [2.0]]), torch.zeros(2))[::2]]
        [1.0, 1.0]
    """
    w = log_weights.softmax(0)
    mean = w @ z
    squares = (z - mean).square()
    variance = w @ squares
    mean_se = (w.square() @ squares).sqrt()
    sd_se = (w.square() @ (squares - variance).square()).sqrt() / (2 * variance.sqrt())
    return tuple(part.numpy() for part in (mean, mean_se, variance.sqrt(), sd_se))


def stacked(rows: Sequence[tuple[np.ndarray, ...]]) -> Moments:
    """The moments of some rows, from those of each."""
    return Moments(*(np.stack(column) for column in zip(*rows, strict=True)))


def sd_error(z: np.ndarray) -> np.ndarray:
    """Monte Carlo standard error of the standard deviation of draws (chain, draw, ...), by the
    delta method.

    se(sd)² = Var(s) / (4 ess(s) E[s])  with s = (z - mean)² and ess(s) the effective number of
    draws for its mean.

    It is what ArviZ calls mcse(method="sd"), which raises TypeError in ArviZ 0.23 where numba is
    installed.

    Example:
        >>> z = np.random.default_rng(0).normal(size=(4, 500, 1, 1))
        >>> sd_error(z).round(3)  # about 1 / √(2 · 2000)
        array([[0.015]])
    """
    squares = np.square(z - z.mean((0, 1), dtype=float))
    ess = np.asarray(_arviz().ess(labelled(squares), method="mean")["z"])
    mean = squares.mean((0, 1))
    error: np.ndarray = np.sqrt(squares.var((0, 1)) / (4 * ess * mean))
    return error


def labelled(z: np.ndarray) -> Any:
    """Draws (chain, draw, observation, latent) as the Dataset that ArviZ takes."""
    import xarray as xr

    dims = ("chain", "draw", "observation", "latent")
    return xr.Dataset(
        {"z": (dims, z)}, coords={d: np.arange(n) for d, n in zip(dims, z.shape, strict=True)}
    )
