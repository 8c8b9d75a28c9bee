"""Means and standard deviations of z with their standard errors, and two of them side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from pyro_vae.analysis.bridge.arviz_objects import installed_arviz
from pyro_vae.analysis.posterior_checks.limits import RATIO, SHIFT


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation of z in each row, all (row, latent).

    Attributes:
        mean, mean_se: the mean and its Monte Carlo standard error.
        sd, sd_se: the standard deviation and its Monte Carlo standard error.
    """

    mean: np.ndarray
    mean_se: np.ndarray
    sd: np.ndarray
    sd_se: np.ndarray


class Worst(NamedTuple):
    """The largest shift of a row and the ratio farthest from 1, with their standard errors."""

    shift: float
    shift_se: float
    ratio: float
    ratio_se: float

    def __str__(self) -> str:
        shift = f"{self.shift:+6.2f} ± {self.shift_se:.2f}"
        ratio = f"{self.ratio:5.2f} ± {self.ratio_se:.2f}"
        return f"{shift}   {ratio}"


@dataclass(frozen=True)
class Difference:
    """A distribution of z compared with the draws of NUTS, all (row, latent).

    Attributes:
        shift, shift_se: (mean - NUTS mean) / NUTS sd and its standard error.
        ratio, ratio_se: sd / NUTS sd, below 1 where it is too narrow, and its standard error.
    """

    shift: np.ndarray
    shift_se: np.ndarray
    ratio: np.ndarray
    ratio_se: np.ndarray

    @classmethod
    def between(cls, moments: Moments, nuts: Moments) -> "Difference":
        """The difference, with standard errors by the delta method."""
        shift = (moments.mean - nuts.mean) / nuts.sd
        ratio = moments.sd / nuts.sd
        mean_se = np.hypot(moments.mean_se, nuts.mean_se)
        shift_se = np.hypot(mean_se, shift * nuts.sd_se) / nuts.sd
        ratio_se = np.hypot(moments.sd_se, ratio * nuts.sd_se) / nuts.sd
        return cls(shift, shift_se, ratio, ratio_se)

    @property
    def small(self) -> np.ndarray:
        """Whether all shifts and ratios are small within 3 standard errors, (row,).

        Small are shifts below `SHIFT` and ratios below a factor of `RATIO`.
        """
        small_shift = np.abs(self.shift) <= SHIFT + 3 * self.shift_se
        not_wide = self.ratio <= RATIO + 3 * self.ratio_se
        not_narrow = self.ratio >= 1 / RATIO - 3 * self.ratio_se
        small: np.ndarray = (small_shift & not_wide & not_narrow).all(1)
        return small

    def worst(self, row: int) -> Worst:
        """The largest shift of a row and the ratio farthest from 1."""
        i = np.abs(self.shift[row]).argmax()
        j = np.abs(np.log(self.ratio[row])).argmax()
        return Worst(
            float(self.shift[row, i]),
            float(self.shift_se[row, i]),
            float(self.ratio[row, j]),
            float(self.ratio_se[row, j]),
        )


def weighted_moments(z: Tensor, log_weights: Tensor) -> tuple[np.ndarray, ...]:
    """Mean, its standard error, sd and its standard error of weighted draws, each (latent,).

    The weights are normalised to w with sum one: mean = Σ w z and sd² = Σ w (z - mean)², with the
    errors of independent draws, √Σ w² (z - mean)² and, by the delta method, √Σ w² ((z - mean)² -
    sd²)² / 2 sd.

    Arguments:
        z: draws, (draw, latent).
        log_weights: their log weights up to a constant, (draw,).

    Example:
        >>> import torch
        >>> z = torch.tensor([[0.0], [2.0]])
        >>> [part.item() for part in weighted_moments(z, torch.zeros(2))[::2]]
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
    """Monte Carlo standard error of the standard deviation of draws (chain, draw, ...).

    By the delta method, se(sd)² = Var(s) / (4 ess(s) E[s])  with s = (z - mean)² and ess(s) the
    effective number of draws for its mean. It is what ArviZ calls mcse(method="sd"), which raises
    TypeError in ArviZ 0.23 where numba is installed.

    Example:
        >>> z = np.random.default_rng(0).normal(size=(4, 500, 1, 1))
        >>> sd_error(z).round(3)  # about 1 / √(2 · 2000)
        array([[0.015]])
    """
    squares = np.square(z - z.mean((0, 1), dtype=float))
    # chains are correlated, so the squares count as fewer draws than there are
    ess = np.asarray(installed_arviz().ess(labelled(squares), method="mean")["z"])
    mean = squares.mean((0, 1))
    error: np.ndarray = np.sqrt(squares.var((0, 1)) / (4 * ess * mean))
    return error


def labelled(z: np.ndarray) -> Any:
    """Draws (chain, draw, observation, latent) as the Dataset that ArviZ takes."""
    import xarray as xr

    dims = ("chain", "draw", "observation", "latent")
    coords = {dim: np.arange(size) for dim, size in zip(dims, z.shape, strict=True)}
    return xr.Dataset({"z": (dims, z)}, coords=coords)
