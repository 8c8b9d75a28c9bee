"""Student t proposals with a location and a covariance for each row."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from pyro_vae.analysis.marginal_likelihood.row_noise import DEGREES_OF_FREEDOM, RowNoise
from pyro_vae.analysis.marginal_likelihood.triangular import log_det, times


class RowStudentT(NamedTuple):
    """t(z) = t_ν(z | m, L Lᵀ) of each row, drawn as z = m + L ε / √w.

    log t(z) = log Γ((ν + d) / 2) - log Γ(ν / 2) - (d / 2) log(ν π) - log det L - ((ν + d) / 2)
    log(1 + |y|² / ν)

    with y = L⁻¹ (z - m), which is ε / √w for its own draws.

    Attributes:
        loc: m, (rows, latent_dim).
        scale_tril: L, (rows, latent_dim, latent_dim), lower triangular with a positive diagonal.

    Example:
        >>> t = RowStudentT(torch.zeros(3, 2), torch.eye(2).expand(3, 2, 2))
        >>> t.log_prob(torch.zeros(5, 3, 2)).shape
        torch.Size([5, 3])
    """

    loc: Tensor
    scale_tril: Tensor

    @property
    def stddev(self) -> Tensor:
        """Of the normal with the same covariance L Lᵀ, (rows, latent_dim)."""
        return self.scale_tril.norm(dim=-1)

    def of_rows(self, index: Tensor) -> "RowStudentT":
        """Those of some rows."""
        return RowStudentT(self.loc[index], self.scale_tril[index])

    def draw(self, noise: RowNoise) -> Tensor:
        """z, (draws, rows, latent_dim)."""
        standard = noise.normal / noise.mixing.sqrt().unsqueeze(-1)
        return self.loc + times(self.scale_tril, standard)

    def log_prob(self, z: Tensor) -> Tensor:
        """log t of any z (draws, rows, latent_dim), in float64."""
        centred = (z - self.loc).double().permute(1, 2, 0)
        y = torch.linalg.solve_triangular(
            self.scale_tril.double(), centred, upper=False
        )
        return self.log_prob_at_distance(y.square().sum(1).T)

    def log_prob_at_distance(self, squared_distance: Tensor) -> Tensor:
        """log t where |y|² is known (draws, rows), in float64.

        Of a draw it is that of its noise; solving for it would multiply the rounding of z.
        """
        nu = DEGREES_OF_FREEDOM
        dim = self.loc.shape[-1]
        gammas = math.lgamma((nu + dim) / 2) - math.lgamma(nu / 2)
        constant = gammas - dim / 2 * math.log(nu * math.pi)
        log_kernel = (nu + dim) / 2 * (squared_distance / nu).log1p()
        return constant - log_det(self.scale_tril.double()) - log_kernel
