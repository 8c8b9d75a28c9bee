"""Every prior, likelihood, guide and objective is replayed, and to the last bit."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pyro_vae.training import State
from pyro_vae.training import replayed_step as module
from pyro_vae.training.replayed_step import ReplayedSteps
from pyro_vae.training.train_step import Info, ScheduleValues, step
from tests.grid.parts import Combination
from tests.training.test_compiled_step_grid import LIKELY, OTHERS, trained


class Replayed:
    """A step by `ReplayedSteps`, which records after two."""

    def __init__(self) -> None:
        self.made = ReplayedSteps()

    def __call__(self, state: State, batch: Tensor) -> tuple[State, Info]:
        schedule = [ScheduleValues.of(state)]
        state, metrics = self.made.steps(state, batch.unsqueeze(0), schedule)
        return state, Info(*metrics[0].unbind())


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("combination", LIKELY + OTHERS, ids=str)
def test_the_replay_is_the_eager_step(
    combination: Combination,
    dtype: torch.dtype,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "WORTH_RECORDING", 2)
    replayed: Any = Replayed()
    ours, theirs = (
        trained(combination, dtype, tmp_path, how, steps=9) for how in (replayed, step)
    )
    (kind,) = replayed.made.kinds.values()
    assert kind.replay is not None
    assert torch.equal(ours[0], theirs[0])
    assert torch.equal(ours[1], theirs[1])
