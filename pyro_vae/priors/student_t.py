"""Independent Student variables: heavy tails."""

from typing import Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn
from torch.distributions import Distribution

from pyro_vae.long_tails import StudentT as RowOfStudentT
from pyro_vae.networks.positive_numbers import PositiveTensor
from pyro_vae.priors.base import PRIORS

START = 5.0


@PRIORS.register("student_t")
class StudentT(nn.Module):
    """p(z) = ∏ᵢ t(zᵢ / σᵢ; ν) / σᵢ, with density t(u; ν) ∝ (1 + u² / ν)^(-(ν + 1) / 2).

    Its heavy tails let unusual rows lie far out.

    Arguments:
        latent_dim: length of z.
        df: ν, one number for all, below 2 without a variance; "learned": from 5, above 1.
        scale: σ, one number for all; or "learned", one each, from 1.

    Example:
        >>> float(StudentT(1, df=1.0)().log_prob(torch.zeros(1)).exp())  # Cauchy: 1 / π
        0.318...
    """

    loc: Tensor

    def __init__(
        self,
        latent_dim: int,
        *,
        df: PositiveFloat | Literal["learned"] = START,
        scale: PositiveFloat | Literal["learned"] = 1.0,
    ) -> None:
        super().__init__()
        self.register_buffer("loc", torch.zeros(latent_dim), persistent=False)
        self.df = PositiveTensor((), df, start=START, floor=1.0)
        self.scale = PositiveTensor((latent_dim,), scale)

    def forward(self) -> Distribution:
        return RowOfStudentT(self.df(), self.loc, self.scale()).to_event(1)

    def extra_repr(self) -> str:
        return "z ~ t(ν, 0, σ)"
