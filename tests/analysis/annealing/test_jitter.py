"""The steps of Hamiltonian Monte Carlo in annealing vary by factors uniform on (0.8, 1.2)."""

from typing import Any

import pytest
import torch
from scipy.stats import kstest, uniform
from torch import Tensor

from pyro_vae.analysis.annealing.chains import (
    AnnealingOptions,
    Chains,
    RowNoiseStreams,
    TemperatureSchedule,
)
from pyro_vae.analysis.annealing.geometric_path import GeometricPath
from pyro_vae.analysis.report.linear_gaussian import LinearGaussian

CHAINS, ROWS = 2000, 3
STEPS = torch.tensor([0.5, 0.1, 2.0], dtype=torch.float64)


def test_factors_are_uniform_on_0_8_to_1_2() -> None:
    _, factors = RowNoiseStreams(
        torch.zeros(CHAINS, ROWS, 2, dtype=torch.float64), seeds=[1, 2, 3]
    ).draw()
    assert factors.shape == (CHAINS, ROWS)
    assert 0.8 < float(factors.min()) < 0.8 + 0.4 * 10 / CHAINS
    assert 1.2 - 0.4 * 10 / CHAINS < float(factors.max()) < 1.2
    for row in factors.T:
        assert kstest(row.numpy(), uniform(0.8, 0.4).cdf).pvalue > 1e-3


def test_each_chain_moves_by_the_step_of_its_row_times_its_factor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    truth, used = LinearGaussian.random(), list[Tensor]()
    path = GeometricPath.of(truth.vae(), truth.sample(ROWS), "prior")

    def moved(
        self: GeometricPath,
        state: Any,
        step_size: Tensor,
        noise: Any,
        leapfrog_steps: int,
    ) -> tuple[Any, Tensor]:
        used.append(step_size)
        return state, torch.ones(CHAINS, ROWS)

    monkeypatch.setattr(GeometricPath, "move", moved)
    options = AnnealingOptions(CHAINS, 1, 3, "prior", 0, 1000, False)
    b = torch.zeros(2, ROWS, dtype=torch.float64)
    schedule = TemperatureSchedule(b, STEPS.expand(2, ROWS))
    start = path.draw([1, 2, 3], CHAINS)
    chains = Chains(path, schedule, start, [1, 2, 3], options)
    for _ in range(2):
        chains.move(1)
    factors = torch.stack(used) / STEPS
    assert ((factors > 0.8) & (factors < 1.2)).all()
    assert ((factors.amin(1) < 0.81) & (factors.amax(1) > 1.19)).all()
    assert (factors[0] != factors[1]).all()
