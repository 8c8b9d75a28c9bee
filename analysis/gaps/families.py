"""The family of a guide, free for each row: normals of its type, or affine maps of the guide."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import (
    Distribution,
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
)

from pyro_vae.analysis.gaps.local_family import BLOCK, Local, Parameters, Rows
from pyro_vae.analysis.gaps.normal_families import (
    FullRankNormals,
    IndependentNormals,
    LowRankNormals,
)
from pyro_vae.analysis.marginal_likelihood.triangular import lower_triangular, times
from pyro_vae.objectives.base import type_name


class AffineMaps(Local):
    """The distributions of z = μ + σ (δ + T (u - μ) / σ) for u ~ q(z | x), with T lower triangular.

    The noise is u, with log q(u | x) behind it; μ and σ are mean and standard deviation of a block
    of it.
    """

    def __init__(self, q: Distribution, rows: Rows) -> None:
        super().__init__(rows)
        self.q = q
        self.name = f"affine maps of the guide's {type_name(q)}"
        draws = self.noise(BLOCK, stream=0)[..., :-1]
        self.loc = draws.mean(0)
        self.scale = draws.std(0)
        zeros = torch.zeros_like(self.loc)
        self.start = [zeros, torch.diag_embed(zeros)]

    def noise_of(self, q: Distribution) -> Tensor:
        u = q.sample(torch.Size([BLOCK]))
        return torch.cat([u, q.log_prob(u).unsqueeze(-1)], -1)

    def log_prob(self, parameters: Parameters, z: Tensor) -> Tensor:
        shift, tril = self._map(parameters)
        u = torch.linalg.solve_triangular(
            tril, (z - shift).unsqueeze(-1), upper=False
        ).squeeze(-1)
        return self.q.log_prob(u) - log_det_of_raw(parameters[1])

    def moments(self, parameters: Parameters) -> tuple[Tensor, Tensor]:
        shift, raw = parameters
        return self.loc + self.scale * shift, self.scale * lower_triangular(raw).norm(
            dim=-1
        )

    def draw(
        self,
        parameters: Parameters,
        noise: Tensor,
    ) -> tuple[Tensor, Tensor]:
        shift, tril = self._map(parameters)
        u = noise[..., :-1]
        log_q = noise[..., -1]
        return shift + times(tril, u), log_q - log_det_of_raw(parameters[1])

    def _map(self, parameters: Parameters) -> tuple[Tensor, Tensor]:
        """b and A of z = b + A u."""
        shift, raw = parameters
        tril = (
            self.scale.unsqueeze(-1) * lower_triangular(raw) / self.scale.unsqueeze(-2)
        )
        image_of_loc = (tril @ self.loc.unsqueeze(-1)).squeeze(-1)
        return self.loc + self.scale * shift - image_of_loc, tril


def local(q: Any, rows: Rows) -> Local:
    """The family of the guide, free for each row: all normals of its type, or its affine maps.

    Arguments:
        q: q(z | x) of some rows.
        rows: those rows.

    Example:
        >>> import pyro.distributions as dist
        >>> q = dist.Normal(torch.zeros(1, 2), 1.0).to_event(1)
        >>> local(q.expand((3,)), Rows.of(torch.zeros(3, 4), [q] * 3, seed=0)).name
        'independent normals'
    """
    if isinstance(q, MultivariateNormal):
        return FullRankNormals(q, rows)
    if isinstance(q, LowRankMultivariateNormal):
        return LowRankNormals(q, rows)
    if isinstance(q, Independent) and isinstance(q.base_dist, Normal):
        return IndependentNormals(q, rows)
    return AffineMaps(q, rows)


def log_det_of_raw(raw: Tensor) -> Tensor:
    """The log determinant of `lower_triangular(raw)`."""
    return raw.diagonal(dim1=-2, dim2=-1).sum(-1)
