"""Hamiltonian Monte Carlo against mechanics and against densities whose moments are known."""

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from pyro_vae.analysis.annealing.hmc import (
    DensityState,
    HmcNoise,
    LogDensity,
    density_state,
    leapfrog,
    transition,
)

COVARIANCE = torch.tensor([[1.0, 0.6], [0.6, 0.8]], dtype=torch.float64)
SIGMAS = 4.5


def bowl(z: Tensor) -> Tensor:
    return -0.5 * z.square().sum(-1)


def tilted(z: Tensor) -> Tensor:
    """N(0, COVARIANCE)."""
    return -0.5 * (z @ torch.linalg.inv(COVARIANCE) * z).sum(-1)


def quartic(z: Tensor) -> Tensor:
    """∝ exp(-Σ zᵢ⁴ / 4) with a coupling, so that no map of it is linear."""
    return -0.25 * z.pow(4).sum(-1) + 0.3 * z.prod(-1).sin()


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def noise(chains: int, dim: int, seed: int) -> HmcNoise:
    generator = torch.Generator().manual_seed(seed)
    return HmcNoise(
        normal(chains, dim, seed=seed + 1000),
        torch.rand(chains, generator=generator).double().log(),
    )


def at(log_density: LogDensity) -> Callable[[Tensor], DensityState]:
    return partial(density_state, log_density)


# The leapfrog


def flow(state: Tensor, steps: int = 7) -> Tensor:
    """(z, r) to (z', r') for steps that differ between the dimensions."""
    step = torch.tensor([0.2, 0.35], dtype=torch.float64)
    end, momentum = leapfrog(
        at(quartic), density_state(quartic, state[..., :2]), state[..., 2:], step, steps
    )
    return torch.cat([end.z, momentum], -1)


def euler(state: Tensor, steps: int = 7) -> Tensor:
    """Broken: position and momentum move at once."""
    z = state[..., :2]
    r = state[..., 2:]
    for _ in range(steps):
        z, r = z + 0.2 * r, r + 0.2 * density_state(quartic, z).slope
    return torch.cat([z, r], -1)


Map = Callable[[Tensor], Tensor]


def check_reversible(step: Map) -> None:
    start = normal(50, 4)
    flip = torch.tensor([1, 1, -1, -1])
    torch.testing.assert_close(
        step(step(start) * flip) * flip, start, rtol=0, atol=1e-12
    )


def check_volume(step: Map, h: float = 1e-6) -> None:
    """det ∂(z', r') / ∂(z, r) = 1, by central differences."""
    for state in normal(10, 4):
        jacobian = (step(state + h * torch.eye(4)) - step(state - h * torch.eye(4))) / (
            2 * h
        )
        assert abs(torch.linalg.det(jacobian) - 1) < 1e-7


@pytest.mark.parametrize("check", [check_reversible, check_volume])
def test_the_leapfrog_keeps_what_mechanics_keeps(check: Callable[[Map], None]) -> None:
    check(flow)
    with pytest.raises(AssertionError):
        check(euler)


def test_the_leapfrog_of_a_spring() -> None:
    """z after n steps is z₀ cos nθ for cos θ = 1 - ε² / 2."""
    z = normal(5, 3)
    step = 0.4
    for steps in (1, 2, 9):
        end, _ = leapfrog(
            at(bowl),
            density_state(bowl, z),
            torch.zeros_like(z),
            torch.tensor(step),
            steps,
        )
        torch.testing.assert_close(
            end.z, z * math.cos(steps * math.acos(1 - step**2 / 2)), rtol=0, atol=1e-6
        )


def test_the_energy_errs_by_the_square_of_the_step() -> None:
    z = normal(200, 2)
    r = normal(200, 2, seed=1)

    def error(step: float) -> float:
        start = density_state(quartic, z)
        end, momentum = leapfrog(
            at(quartic), start, r, torch.tensor(step), round(0.8 / step)
        )
        change = (
            end.log_density
            - start.log_density
            - 0.5 * (momentum.square() - r.square()).sum(-1)
        )
        return float(change.abs().mean())

    assert error(0.02) / error(0.01) == pytest.approx(4, rel=0.02)


def test_the_slope_of_each_chain_is_its_own() -> None:
    z = normal(3, 4, 2)
    found = density_state(quartic, z)
    assert found.log_density.shape == (3, 4)
    assert not any(part.requires_grad for part in found)
    torch.testing.assert_close(found.slope[1, 2], density_state(quartic, z[1, 2]).slope)
    expected = -z.pow(3) + 0.3 * z.prod(-1, keepdim=True).cos() * z.flip(-1)
    torch.testing.assert_close(found.slope, expected)


# The transition

Kernel = Callable[[LogDensity, Tensor, HmcNoise, Tensor, int], tuple[Tensor, Tensor]]


def moved_by(
    log_density: LogDensity, z: Tensor, noise: HmcNoise, step: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """Where chains at z are after a transition, and the acceptance."""
    moved = transition(
        at(log_density), density_state(log_density, z), noise, step, steps
    )
    return torch.where(moved.accepted.unsqueeze(-1), moved.end.z, z), moved.acceptance


def every_proposal(
    log_density: LogDensity, z: Tensor, noise: HmcNoise, step: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """Broken: nothing is rejected."""
    always = torch.full_like(noise.log_uniform, -torch.inf)
    return moved_by(log_density, z, noise._replace(log_uniform=always), step, steps)


def the_wrong_way(
    log_density: LogDensity, z: Tensor, noise: HmcNoise, step: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """Broken: the slope is that of another density."""
    return moved_by(lambda z: log_density(1.1 * z), z, noise, step, steps)


def check_it_keeps_a_normal(kernel: Kernel, chains: int = 20_000) -> None:
    z = normal(chains, 2, seed=5) @ torch.linalg.cholesky(COVARIANCE).T
    acceptances = []
    for turn in range(4):
        z, accepted = kernel(
            tilted, z, noise(chains, 2, turn), torch.tensor([0.8, 0.7]), 3
        )
        acceptances.append(float(accepted.mean()))
    assert 0.5 < min(acceptances) < 0.95  # the test of the acceptance needs rejections
    variance = COVARIANCE.diag()
    assert (z.mean(0).abs() < SIGMAS * (variance / chains).sqrt()).all()
    spread = ((variance.outer(variance) + COVARIANCE.square()) / chains).sqrt()
    assert ((z.T @ z / chains - COVARIANCE).abs() < SIGMAS * spread).all()


def test_a_normal_stays_as_it_is() -> None:
    check_it_keeps_a_normal(moved_by)


@pytest.mark.parametrize("broken", [every_proposal, the_wrong_way])
def test_broken_moves_change_it(broken: Kernel) -> None:
    with pytest.raises(AssertionError):
        check_it_keeps_a_normal(broken)


def test_chains_get_to_a_density_that_is_not_normal() -> None:
    """For ∝ exp(-z⁴ / 4): E z² = 2 Γ(3/4) / Γ(1/4), E z⁴ = 1."""
    chains = 20_000
    z = torch.zeros(20_000, 1, dtype=torch.float64)
    for turn in range(30):
        z, _ = moved_by(
            lambda z: -0.25 * z.pow(4).sum(-1),
            z,
            noise(chains, 1, turn),
            torch.tensor(0.6),
            3,
        )
    second = 2 * math.gamma(0.75) / math.gamma(0.25)
    assert abs(z.square().mean() - second) < SIGMAS * math.sqrt(
        (1 - second**2) / chains
    )
    assert abs(z.mean()) < SIGMAS * math.sqrt(second / chains)


def test_a_density_with_an_edge() -> None:
    """Gamma(3, 1), whose log is nan where z < 0: mean and variance are 3."""
    chains = 20_000
    z = torch.full((20_000, 1), 3.0, dtype=torch.float64)
    for turn in range(25):
        z, accepted = moved_by(
            lambda z: (2 * z.log() - z).sum(-1),
            z,
            noise(chains, 1, turn),
            torch.tensor(1.2),
            3,
        )
    assert (z > 0).all()
    assert (accepted == 0).any()  # those that stepped over it
    assert abs(z.mean() - 3) < SIGMAS * math.sqrt(3 / chains)
    assert abs(z.var() - 3) < SIGMAS * math.sqrt((45 - 9) / chains)


def test_the_acceptance_is_that_of_the_energies() -> None:
    z = normal(1000, 2)
    given = noise(1000, 2, 3)
    step = torch.tensor(1.0)
    z_after, acceptance = moved_by(quartic, z, given, step, 2)
    end, momentum = leapfrog(
        at(quartic), density_state(quartic, z), given.momentum, step, 2
    )
    change = (
        quartic(end.z)
        - quartic(z)
        - 0.5 * (momentum.square() - given.momentum.square()).sum(-1)
    )
    torch.testing.assert_close(acceptance, change.exp().clamp_max(1))
    accepted = given.log_uniform < change
    assert accepted.any()
    assert not accepted.all()
    torch.testing.assert_close(z_after, torch.where(accepted[:, None], end.z, z))
