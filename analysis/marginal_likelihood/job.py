"""What is asked of the evidence of some rows, and how much of it is computed at once."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.distributions import Distribution

from pyro_vae.analysis.marginal_likelihood.log_joint import (
    CompiledOnce,
    Joint,
    log_joint,
)
from pyro_vae.analysis.marginal_likelihood.quasi_newton import PAIRS
from pyro_vae.analysis.marginal_likelihood.refinement import slope_of_log_joint
from pyro_vae.analysis.marginal_likelihood.until import Until
from pyro_vae.vae import VAE

BLOCK = 250
"""Draws that share one seed: always drawn whole, so that no chunk size changes them."""
CAP = 16
"""Times the requested draws that a row may get automatically."""
POOL_SIZE = 2**16
"""Draws from the prior that all rows choose theirs from: a flow is slow to draw from one by one.

The error of the pool itself is no part of the standard errors, and far below them.
"""
POOL_NUMBERS = 2**22
"""Numbers in the pool at most."""
NUM_CANDIDATES = 512
CANDIDATES_SEED = 1
PARTICLES = 2 * PAIRS
"""Draws in each step of a fit."""

_ROWS_TOGETHER = 32  # rows at least whose proposals are made at once


@dataclass(frozen=True)
class Job:
    """What is asked for, and how much of it is done at once.

    Attributes:
        vae: the model.
        prior: made once.
        num_particles: draws of each row, at first.
        until: targets for more draws.
        seed: of the draws.
        pairs: of a row and a draw in one call of `joint`, at most.
        restart: starts torch's generators from a seed.
        compiles: whether `joint` is compiled.
    """

    vae: VAE
    prior: Distribution
    num_particles: int
    until: Until | None
    seed: int
    pairs: int
    restart: Callable[[int], None]
    compiles: bool

    @cached_property
    def joint(self) -> Joint:
        """From rows and draws to log p(x, z)."""

        # a function, since the tracer counts the `self` of a method as an argument
        def eager(x: Tensor, z: Tensor) -> Tensor:
            return log_joint(self.vae, x, z, self.prior)

        return CompiledOnce(eager, self.draws, self.rows) if self.compiles else eager

    def eager_joint(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x, z) of few draws."""
        return log_joint(self.vae, x, z, self.prior)

    @cached_property
    def log_densities(self) -> Joint:
        """From rows and draws to log p(z) and log p(x | z), (draws, rows, 2)."""

        def eager(x: Tensor, z: Tensor) -> Tensor:
            log_prior = self.prior.log_prob(z)
            log_likelihood = self.vae.likelihood(z).log_prob(x)
            return torch.stack([log_prior, log_likelihood], -1)

        return CompiledOnce(eager, self.draws, self.rows) if self.compiles else eager

    @cached_property
    def _slope(self) -> Joint:
        def eager(x: Tensor, z: Tensor) -> Tensor:
            return slope_of_log_joint(self.vae, self.prior, x, z)

        return CompiledOnce(eager, PARTICLES, self.group) if self.compiles else eager

    def slope(self, x: Tensor, z: Tensor) -> Tensor:
        """∂ log p(x, z) / ∂z of up to `PARTICLES` draws of each row."""
        pairs = zip(x.split(self.group), z.split(self.group, 1), strict=True)
        return torch.cat([self._slope_of_group(*pair) for pair in pairs], 1)

    def _slope_of_group(self, x: Tensor, z: Tensor) -> Tensor:
        # the compiled graph takes a whole group: few rows would be repeated until they are one
        if len(x) < self.group // 2:
            return slope_of_log_joint(self.vae, self.prior, x, z)
        return self._slope(x, z)

    @cached_property
    def pool(self) -> Tensor:
        """Draws from the prior under the job's seed, (many, latent_dim)."""
        self.restart(self.seed)
        affordable = max(1024, POOL_NUMBERS // self.vae.spec.latent_dim)
        count = min(POOL_SIZE, affordable)
        return self.prior.sample(torch.Size([count]))

    @cached_property
    def candidates(self) -> Tensor:
        """Other draws from the prior, the same for every seed: where fits may start."""
        self.restart(CANDIDATES_SEED)
        return self.prior.sample(torch.Size([NUM_CANDIDATES]))

    @cached_property
    def lowest_log_prior(self) -> float:
        """The smallest log p(z) of the candidates."""
        return float(self.prior.log_prob(self.candidates).min())

    @property
    def cap(self) -> int:
        """The most draws that a row may get automatically."""
        if self.until is None:
            return CAP * self.num_particles
        return self.until.max_particles

    @property
    def most(self) -> int:
        """The most draws that a row may get from a proposal that was asked for."""
        if self.until is None:
            return self.num_particles
        return self.until.max_particles

    @property
    def rows(self) -> int:
        """Rows in one call of `joint`."""
        return max(1, self.pairs // self.num_particles)

    @property
    def draws(self) -> int:
        """Draws of each row in one call of `joint`: all, or whole blocks."""
        most = self.pairs // self.rows
        if self.num_particles <= most:
            return self.num_particles
        return most // BLOCK * BLOCK or most

    @property
    def group(self) -> int:
        """Rows whose proposals are made together, a multiple of `rows`."""
        wanted = min(_ROWS_TOGETHER, self.pairs // 16)
        return self.rows * max(1, wanted // self.rows)
