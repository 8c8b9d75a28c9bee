"""The program of a model draws what the model draws, in float64."""

from pathlib import Path
from typing import Any

import pyro
import pytest
import torch
from torch import Tensor

import pyro_vae as pv
from tests.program.cases import CASES, SLOW
from tests.program.test_program import moved, program, small

OTHER_DRAWS = (
    "continuous_bernoulli",
    "zero_inflated",
    "multinomial",
    "ordinal",
    "discretized_logistic",
    "prior mixture",
    "prior vamp",
    "prior hierarchical of mixture",
    "binomial and multinomial",
    "conv of two",
)
"""How the names of those models begin that draw in another way than torch."""


def draws(model: Any, count: int) -> Tensor:
    """Rows from the prior, in float64."""
    model.double()
    with (
        pyro.get_param_store().scope(),
        pyro.settings.context(module_local_params=True),
        torch.no_grad(),
    ):
        pyro.set_rng_seed(0)
        rows: Tensor = model.model(n=count)
    return rows.double()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in SLOW else ())
        for name in CASES
        if name != "prior flat"
    ],
)
def test_the_program_draws_the_rows_of_the_model(name: str, tmp_path: Path) -> None:
    fields, x = CASES[name]
    vae = moved(small(**fields))
    pv.save(vae, tmp_path / "run")
    own = program(vae).load(tmp_path / "run" / "model.safetensors")
    is_same = not name.startswith(OTHER_DRAWS)
    count = 100 if is_same else 60_000 // x[0].numel()
    expected, found = draws(vae, count), draws(own, count)
    assert found.shape == expected.shape
    if is_same:
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
        return
    for power in (1, 2):
        first, second = (one.pow(power).flatten(1) for one in (expected, found))
        error = ((first.var(0) + second.var(0)) / len(first)).sqrt()
        distance = (first.mean(0) - second.mean(0)).abs()
        assert bool((distance <= 5 * error + 1e-6).all())
