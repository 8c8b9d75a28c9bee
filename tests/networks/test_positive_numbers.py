"""Positive numbers: the map, its inverse, where learned numbers start, and who gets a gradient."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pyro_vae.networks.positive_numbers import (
    FLOOR,
    Positive,
    PositiveTensor,
    factor,
    positive,
    raw_of,
)

UNIT = torch.tensor([0.5, 2.0, 4.0], dtype=torch.float64)
OUTPUT = torch.tensor([-1.0, 0.0, 3.0], dtype=torch.float64)
SOURCES = ("learned", "per_feature", "decoder")


def softplus(raw: np.ndarray) -> np.ndarray:
    return np.log1p(np.exp(raw))


@pytest.mark.parametrize("floor", [FLOOR, 1.0])
@pytest.mark.parametrize("value", [1.001, 1.5, 30.0])
def test_raw_of_is_the_inverse(value: float, floor: float) -> None:
    raw = torch.tensor(raw_of(value, floor), dtype=torch.float64)
    torch.testing.assert_close(
        positive(raw, floor), torch.tensor(value, dtype=torch.float64)
    )


def test_a_factor_is_one_at_zero() -> None:
    raw = OUTPUT.numpy()
    expected = 1e-4 + softplus(raw + math.log(math.expm1(1 - 1e-4)))
    np.testing.assert_allclose(factor(OUTPUT).numpy(), expected, rtol=1e-12)
    assert expected[1] == pytest.approx(1.0)


def test_a_fixed_tensor_moves_with_its_module() -> None:
    fixed = PositiveTensor((2, 3), 0.7)
    assert not list(fixed.parameters())
    assert not fixed.state_dict()
    assert fixed.double()().dtype == torch.float64
    assert torch.equal(fixed(), torch.full((2, 3), 0.7, dtype=torch.float64))


@pytest.mark.parametrize(("start", "floor"), [(1.0, FLOOR), (5.0, 1.0)])
def test_a_learned_tensor_starts_at_start_above_its_floor(
    start: float, floor: float
) -> None:
    learned = PositiveTensor((4,), "learned", start=start, floor=floor).double()
    torch.testing.assert_close(learned(), torch.full((4,), start, dtype=torch.float64))
    learned.raw.data.fill_(-1e3)
    assert torch.equal(learned(), torch.full((4,), floor, dtype=torch.float64))


def start(source: Any, **options: float) -> Tensor:
    parameter = Positive(source, (3,), **options).double()
    outputs = [torch.zeros_like(UNIT)] * parameter.heads
    result: Tensor = parameter(UNIT, *outputs)
    return result


def test_a_parameter_starts_at_its_unit() -> None:
    root_mean_square = np.sqrt(np.mean(UNIT.numpy() ** 2))
    torch.testing.assert_close(start("per_feature"), UNIT)
    torch.testing.assert_close(start("decoder"), UNIT)
    np.testing.assert_allclose(start("learned").detach(), root_mean_square, rtol=1e-12)
    assert torch.equal(start(0.3), torch.full_like(UNIT, 0.3))


@pytest.mark.parametrize("source", SOURCES)
def test_the_start_of_the_parameter_moves_no_value(source: str) -> None:
    """`start` and the shift cancel; for another `raw_of_one` the factor is another."""
    expected = start(source, raw_of_one=2.0)
    torch.testing.assert_close(start(source, raw_of_one=2.0, start=2.0), expected)
    torch.testing.assert_close(start(source, raw_of_one=2.0, start=-1.0), expected)
    ratio = expected / start(source)
    np.testing.assert_allclose(
        ratio.detach(), 1e-4 + softplus(np.array(2.0)), rtol=1e-12
    )


def test_a_decoder_gives_a_factor_for_each_number() -> None:
    parameter = Positive("decoder", (3,))
    assert parameter.heads == 1
    assert not list(parameter.parameters())
    torch.testing.assert_close(parameter(UNIT, OUTPUT), UNIT * factor(OUTPUT))
