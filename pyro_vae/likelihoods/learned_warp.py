"""The map of each column to a normal one: its parameters, and where they start."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from pyro_vae.data import Statistics
from pyro_vae.likelihoods.asinh_normal import Asinh
from pyro_vae.likelihoods.parameters import spread
from pyro_vae.networks import Shape
from pyro_vae.networks.positive_numbers import positive

Warp = Literal["none", "asinh"]
FLOOR = 0.05
"""The least width, in robust standard deviations: many equal cells would pull it to 0."""
WIDEST = 20.0
"""Where a map starts that changes nothing: of 3 robust standard deviations 0.4 %."""
CENTRES = torch.linspace(-6.0, 6.0, 49)
WIDTHS = torch.logspace(math.log10(0.1), math.log10(WIDEST), 16)
ENOUGH = 1000
"""Rows of the sample from which the maps start."""
CLEAR_GAIN = 3.0
"""Nats by which a map must be better than none: the likelihood ratio test of two parameters at 5 %,
½ χ²₂(0.95), so that noise bends few columns."""
ATOM = 0.25
"""The share of equal cells above which a column has no map: it would be stretched about them, and
far cells, of which then nothing is known, would dominate its mean."""


class LearnedWarp(nn.Module):
    """`Asinh` maps with a learned centre and width for each column: calling the module gives them.

    `start` takes the centre and the width of a grid under which the mapped sample has the highest
    normal likelihood, column by column; training goes on from there. The parameters are 0 at the
    start, so that a weight decay keeps them near it.

    References:
        Warped Gaussian Processes (Snelson, Rasmussen, Ghahramani, 2004).

    Arguments:
        data_shape: shape of one row.

    Example:
        >>> warp = LearnedWarp((2,))
        >>> warp()(torch.tensor([0.0, 3.0]))
        tensor([0.0000, 2.9889], grad_fn=<AddBackward0>)
    """

    origin: Tensor
    unit: Tensor
    first_centre: Tensor
    first_width: Tensor

    def __init__(self, data_shape: Shape) -> None:
        super().__init__()
        self.centre = nn.Parameter(torch.zeros(data_shape))
        self.width = nn.Parameter(torch.zeros(data_shape))
        self.register_buffer("origin", torch.zeros(data_shape))
        self.register_buffer("unit", torch.ones(data_shape))
        self.register_buffer("first_centre", torch.zeros(data_shape))
        self.register_buffer("first_width", torch.full(data_shape, WIDEST))

    def forward(self) -> Asinh:
        centre = self.first_centre + self.centre
        # softplus of the start gives the first width back
        start = (self.first_width - FLOOR).expm1().log()
        width = positive(start + self.width, FLOOR)
        return Asinh(self.origin + self.unit * centre, self.unit * width)

    def start(self, data: Statistics) -> None:
        """Take the origin and the unit of each column, and the best map of the grid."""
        # of most rows: a few far ones would make the narrowest map too wide for the others
        origin, unit = data.median, spread(data, robust=True)
        self.origin.copy_(origin)
        self.unit.copy_(unit)
        standard = (data.sample[:ENOUGH].double() - origin) / unit
        centre, width = best_of_grid(standard.flatten(1).cpu())
        self.first_centre.copy_(centre.reshape(self.centre.shape))
        self.first_width.copy_(width.reshape(self.width.shape))
        self.centre.data.zero_()
        self.width.data.zero_()

    def first(self) -> Asinh:
        """The maps at the start, which training doesn't change."""
        centre = self.origin + self.unit * self.first_centre
        return Asinh(centre, self.unit * self.first_width)

    def extra_repr(self) -> str:
        return f"{tuple(self.centre.shape)}"


def best_of_grid(standard: Tensor) -> tuple[Tensor, Tensor]:
    """The centre and the width of each column under which its mapped cells are the most normal.

        log likelihood = n (mean log t'(x) - log std t(x)) + constant

    Arguments:
        standard: rows in robust standard deviations from the median, (n, D), nan where missing.

    Returns:
        Centres and widths, (D,) each; the widest map where no other is clearly better, and where
        more than a quarter of the cells are equal.

    Example:
        >>> skewed = torch.randn(1000, 1, generator=torch.Generator().manual_seed(0)).exp()
        >>> centre, width = best_of_grid((skewed - skewed.mean()) / skewed.std())
        >>> bool(centre < 0), bool(width < 1)
        (True, True)
    """
    columns = standard.shape[1]
    centre = torch.zeros(columns, dtype=standard.dtype)
    width = torch.full_like(centre, WIDEST)
    best = _score(standard, Asinh(centre, width)) + CLEAR_GAIN
    best = torch.where(_largest_share(standard) > ATOM, math.inf, best)
    for some_centre in CENTRES.to(standard):
        for some_width in WIDTHS.to(standard):
            score = _score(standard, Asinh(some_centre, some_width))
            is_better = score > best
            best = torch.where(is_better, score, best)
            centre = torch.where(is_better, some_centre, centre)
            width = torch.where(is_better, some_width, width)
    return centre, width


def _score(standard: Tensor, warp: Asinh) -> Tensor:
    """The log likelihood of each column, up to a constant; -inf of a constant column."""
    mapped = warp(standard)
    mean = mapped.nanmean(0)
    variance = (mapped - mean).square().nanmean(0)
    score = warp.log_slope(standard).nanmean(0) - variance.log() / 2
    count = (~standard.isnan()).sum(0)
    return torch.where(variance > 0, count * score, -math.inf)


def _largest_share(standard: Tensor) -> Tensor:
    """The share of the most frequent number among the observed cells of each column.

    Example:
        >>> _largest_share(torch.tensor([[1.0, 1.0], [1.0, 2.0], [0.0, torch.nan]]))
        tensor([0.6667, 0.5000])
    """
    shares = []
    for column in standard.unbind(1):
        observed = column[~column.isnan()]
        counts = observed.unique(return_counts=True)[1]
        shares.append(counts.max() / len(observed) if len(observed) else counts.sum())
    return torch.stack(shares).to(standard)
