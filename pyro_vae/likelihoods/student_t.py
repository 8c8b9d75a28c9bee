"""Real numbers with outliers."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.distributions import Distribution, constraints

from pyro_vae.data import Statistics
from pyro_vae.likelihoods.base import LIKELIHOODS, Family
from pyro_vae.likelihoods.parameters import Scale, resolved, spread, stacked
from pyro_vae.long_tails import StudentT as RowOfStudentT
from pyro_vae.networks import Shape
from pyro_vae.networks.positive_numbers import Positive

EXCESS_DF = 4.0
AboveOne = Annotated[float, Field(gt=1)]


@LIKELIHOODS.register("student_t")
class StudentT(Family):
    """p(x | z) = ∏ᵢ t(xᵢ | df, locᵢ, scaleᵢ) ∝ (1 + ((xᵢ - locᵢ) / scaleᵢ)² / df)^-(df + 1)/2.

    loc = median + std * decoder(z), with the std of most training rows, 1.4826 median absolute
    deviations: neither is moved by outliers.

    References:
        Student-t Variational Autoencoder for Robust Density Estimation (Takahashi, Iwata, Yamanaka,
        Yamada, Yagi, 2018).

    Arguments:
        data_shape: shape of one row.
        df: degrees of freedom: a number above 1, so that there is a mean; "learned": one number for
            all features; "per_feature"; "decoder". Those that are not fixed start at 5 and stay
            above 1.
        scale: a number, in the data's units; "learned", "per_feature" or "decoder"; "auto":
            "per_feature" for rows of columns, data_shape (D,), and "learned" for images and other
            shapes. It starts at that std.

    Example:
        >>> StudentT((3,), df=4.0)(torch.zeros(5, 3)).batch_shape
        torch.Size([5])
    """

    support = constraints.real
    remedy = "replace or drop the rows"
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        data_shape: Shape,
        *,
        df: AboveOne | Literal["learned", "per_feature", "decoder"] = "learned",
        scale: Scale = "auto",
    ) -> None:
        excess = Positive(df if isinstance(df, str) else df - 1, data_shape)
        noise = Positive(resolved(scale, data_shape), data_shape)
        super().__init__(
            data_shape, stacked(1 + noise.heads + excess.heads, data_shape)
        )
        self.df = df
        self.excess_df = excess
        self.scale = noise
        self.register_buffer("mean", torch.zeros(data_shape))
        self.register_buffer("std", torch.ones(data_shape))

    def pyro_vae_start(self, data: Statistics) -> None:
        self.mean.copy_(data.median)
        self.std.copy_(spread(data, robust=True))

    def independent(self) -> Distribution:
        return self._as_row(RowOfStudentT(1 + EXCESS_DF, self.mean, self.std))

    def forward(self, raw: Tensor) -> Distribution:
        loc, *rest = self._outputs(raw)
        of_scale = rest[: self.scale.heads]
        of_df = rest[self.scale.heads :]
        scale = self.scale(self.std, *of_scale)
        df = 1 + self.excess_df(torch.full_like(self.std, EXCESS_DF), *of_df)
        row = RowOfStudentT(df, self.mean + self.std * loc, scale)
        return self._as_row(row)

    def extra_repr(self) -> str:
        return (
            f"x ~ StudentT(df, loc, scale), df={self.df!r}, scale={self.scale.source!r}"
        )
