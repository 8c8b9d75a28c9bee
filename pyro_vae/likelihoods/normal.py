"""Real numbers with Gaussian noise."""

import math

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor
from torch.distributions import Distribution, constraints

from pyro_vae.data import Statistics
from pyro_vae.likelihoods import any_unit
from pyro_vae.likelihoods.base import LIKELIHOODS, Family
from pyro_vae.likelihoods.correlated_normal import CorrelatedNormal
from pyro_vae.likelihoods.learned_correlation import (
    Covariance,
    FullCorrelation,
    LearnedCorrelation,
    LowRankCorrelation,
    Start,
)
from pyro_vae.likelihoods.mechanisms import Direction
from pyro_vae.likelihoods.mechanisms_of_numbers import OfNormal
from pyro_vae.likelihoods.parameters import Scale, resolved, spread, stacked
from pyro_vae.networks import Shape
from pyro_vae.networks.positive_numbers import Positive

DEFAULT_RANK = 5


@LIKELIHOODS.register("normal")
class Normal(Family):
    """p(x | z) = ∏ᵢ N(xᵢ | locᵢ(z), scaleᵢ²), with loc = mean + std * decoder(z).

    With a `covariance`, the noise is correlated within a row:

        p(x | z) = N(x | loc(z), Σ),   Σ = diag(scale) R diag(scale),   R = C Cᵀ or Ψ + W Wᵀ

    The correlations R are learned, and the same for all z. With a constant decoder p(x) is one
    multivariate normal, and with R the identity the usual VAE. Where correlations start decides
    between the two: a model that starts at those of the data may never use z.

    Mean and std are those of the training rows, so that the decoder works in units of the data's
    spread; a scale that is not fixed starts at that spread. A feature that never varies is given
    the root-mean-square std of the others.

    Arguments:
        data_shape: shape of one row.
        scale: a number, in the data's units; "learned": one number for all features (a linear
            decoder is then probabilistic PCA); "per_feature": one number each; "decoder": from z;
            "auto": "per_feature" for rows of columns, data_shape (D,), and "learned" for images and
            other shapes.
        covariance: "diagonal"; "full"; "low_rank". The last two are for rows of columns, (D,).
        rank: the factors W of "low_rank", at most D; None: 5, or D where there are fewer columns.
        start: of the correlations: "independent", with small random ones, or "data", those of the
            training rows.
        initial_scale: where a scale that is not fixed starts, in units of the data's spread. Below
            1 the decoder has something to explain at once: beside correlations, which explain it
            too, 0.7 keeps z in use.

    Raises:
        ValueError: a covariance of rows with more dimensions; a rank above D, or of another
            covariance.

    Example:
        >>> Normal((3,), scale=0.5)(torch.zeros(4, 3)).batch_shape
        torch.Size([4])
    """

    support = constraints.real
    remedy = "replace or drop the rows"
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        data_shape: Shape,
        *,
        scale: Scale = "auto",
        covariance: Covariance = "diagonal",
        rank: PositiveInt | None = None,
        start: Start = "independent",
        initial_scale: PositiveFloat = 1.0,
    ) -> None:
        source = resolved(scale, data_shape)
        # softplus of it is the initial scale, to which a floor of 1e-4 is added
        raw = math.log(math.expm1(initial_scale))
        noise = Positive(source, data_shape, raw_of_one=raw, start=raw)
        super().__init__(data_shape, stacked(1 + noise.heads, data_shape))
        self.scale = noise
        self.covariance = covariance
        self.start = start
        self.correlation = correlation(covariance, rank, data_shape)
        self.register_buffer("mean", torch.zeros(data_shape))
        self.register_buffer("std", torch.ones(data_shape))

    def pyro_vae_start(self, data: Statistics) -> None:
        self.mean.copy_(data.mean)
        self.std.copy_(spread(data))
        if self.correlation is not None and self.start == "data":
            self.correlation.start(data)

    def independent(self) -> Distribution:
        return self._as_row(any_unit.Normal(self.mean, self.std))

    def forward(self, raw: Tensor) -> Distribution:
        loc, *rest = self._outputs(raw)
        scale = self.scale(self.std, *rest)
        loc = self.mean + self.std * loc
        if self.correlation is not None:
            return CorrelatedNormal(loc, scale, self.correlation())
        return self._as_row(any_unit.Normal(loc, scale))

    def pyro_vae_missing_mechanism(self, direction: Direction) -> OfNormal | None:
        if self.correlation is not None:
            return None
        return OfNormal(self.data_shape, direction)

    def extra_repr(self) -> str:
        if self.correlation is None:
            return f"x ~ N(loc, scale²), scale={self.scale.source!r}"
        return f"x ~ N(loc, Σ), scale={self.scale.source!r}, covariance={self.covariance!r}"


def correlation(
    covariance: Covariance, rank: int | None, data_shape: Shape
) -> LearnedCorrelation | None:
    """The module of the correlations within a row; None where there are none.

    Example:
        >>> correlation("low_rank", None, (3,)), correlation("diagonal", None, (3,))
        (LowRankCorrelation(3, rank=3), None)
    """
    if rank is not None and covariance != "low_rank":
        raise ValueError(
            f'normal: expected a rank with covariance="low_rank" only, got rank={rank} with '
            f"covariance={covariance!r}; leave rank out"
        )
    if covariance == "diagonal":
        return None
    if len(data_shape) != 1:
        raise ValueError(
            f"normal: expected rows of columns, data_shape (D,), for covariance={covariance!r}, "
            f"got {data_shape}; flatten them"
        )
    (size,) = data_shape
    if covariance == "full":
        return FullCorrelation(size)
    chosen = min(DEFAULT_RANK, size) if rank is None else rank
    if chosen > size:
        raise ValueError(
            f"normal: expected a rank of at most {size}, the columns, got {chosen}"
        )
    return LowRankCorrelation(size, chosen)
