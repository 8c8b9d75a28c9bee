"""The steps of Hamiltonian Monte Carlo in annealing vary by factors uniform on (0.8, 1.2)."""

from typing import Any

import pytest
import torch
from scipy.stats import kstest, uniform
from torch import Tensor

from pyro_vae.analysis.annealing.chains import Ladder, Noise, Plan, Walker
from pyro_vae.analysis.annealing.geometric_path import Path
from pyro_vae.analysis.report.linear_gaussian import LinearGaussian

CHAINS, ROWS = 2000, 3
STEPS = torch.tensor([0.5, 0.1, 2.0], dtype=torch.float64)


def test_factors_are_uniform_on_0_8_to_1_2() -> None:
    _, factors = Noise(torch.zeros(CHAINS, ROWS, 2, dtype=torch.float64), seeds=[1, 2, 3]).draw()
    assert factors.shape == (CHAINS, ROWS)
    assert 0.8 < float(factors.min()) < 0.8 + 0.4 * 10 / CHAINS
    assert 1.2 - 0.4 * 10 / CHAINS < float(factors.max()) < 1.2
    for row in factors.T:
        assert kstest(row.numpy(), uniform(0.8, 0.4).cdf).pvalue > 1e-3


def test_each_chain_moves_by_the_step_of_its_row_times_its_factor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    truth, used = LinearGaussian.random(), list[Tensor]()
    path = Path.of(truth.vae(), truth.sample(ROWS), "prior")

    def moved(
        self: Path, here: Any, step: Tensor, kick: Any, leapfrog_steps: int
    ) -> tuple[Any, Tensor]:
        used.append(step)
        return here, torch.ones(CHAINS, ROWS)

    monkeypatch.setattr(Path, "move", moved)
    plan = Plan(CHAINS, 1, 3, "prior", 0, 1000, False)
    ladder = Ladder(torch.zeros(2, ROWS, dtype=torch.float64), STEPS.expand(2, ROWS))
    walker = Walker(path, ladder, path.draw([1, 2, 3], CHAINS), [1, 2, 3], plan)
    for _ in range(2):
        walker.move(1)
    factors = torch.stack(used) / STEPS
    assert ((factors > 0.8) & (factors < 1.2)).all()
    assert ((factors.amin(1) < 0.81) & (factors.amax(1) > 1.19)).all()
    assert (factors[0] != factors[1]).all()
