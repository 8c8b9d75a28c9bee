"""Which steps are compiled, and where Adam is, by the rule of costs: a table of its choices."""

from typing import Any

import pytest
import torch

from benchmarks.speed.sizes import FLOW, SIZES
from pyro_vae.training import FitOptions
from pyro_vae.training.replayed_step import ReplayedSteps
from pyro_vae.training.step_choice import is_compiled, stepper

FLOW_PRIOR = {"prior": FLOW}
REPLAYED, OR_AFTER = "replayed", "replayed, or Adam after the graph"
AFTER, INSIDE = "Adam after the graph", "Adam in the graph"
CHOICES = [
    ("S", {}, {5_500: REPLAYED, 6_000: OR_AFTER, 20_000: OR_AFTER, 50_000: INSIDE}),
    (
        "M",
        {},
        {
            5_000: REPLAYED,
            5_500: OR_AFTER,
            9_500: OR_AFTER,
            10_000: AFTER,
            20_000: INSIDE,
        },
    ),
    (
        "M",
        FLOW_PRIOR,
        {2_500: REPLAYED, 3_000: OR_AFTER, 6_000: AFTER, 50_000: INSIDE},
    ),
]


def chosen(optimizer: torch.optim.Optimizer, steps: int) -> str:
    function: Any = stepper(FitOptions(batch_size=100), optimizer, steps)
    if isinstance(function.__self__, ReplayedSteps):
        return OR_AFTER if is_compiled(function.__self__.otherwise) else REPLAYED
    return AFTER if function.__self__.by_kernel else INSIDE


@pytest.mark.parametrize(("size", "parts", "expected"), CHOICES)
def test_choices(size: str, parts: dict[str, Any], expected: dict[int, str]) -> None:
    weights = SIZES[size].vae(**parts).parameters()
    optimizer = torch.optim.Adam(weights, fused=True)
    found = {steps: chosen(optimizer, steps) for steps in expected}
    assert found == expected
