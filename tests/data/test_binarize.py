"""Grey pixels as bits: their mean is the grey level, their variance mean (1 - mean)."""

import numpy as np
import pytest
import torch

from pyro_vae.data import Placement, as_rows, binarized, statistics
from pyro_vae.data.binarize import binarized_once, bits_of, levels
from pyro_vae.rng import own_seed

GREY = np.random.default_rng(0).integers(0, 256, (300, 3, 5), dtype=np.uint8)
TARGET = Placement(grey=True)
ROWS = as_rows(GREY, (3, 5), TARGET)


def test_bits_have_the_grey_level_as_their_mean():
    """Within 4 standard errors of 20 000 passes; levels of 0 and 1 never change."""
    grey, passes = torch.tensor([0.0, 0.01, 0.3, 0.5, 0.99, 1.0]), 20_000
    with own_seed(0):
        bits = torch.stack([binarized(grey) for _ in range(passes)])
    assert set(bits.unique().tolist()) == {0.0, 1.0}
    error = (grey * (1 - grey) / passes).sqrt()
    assert ((bits.double().mean(0) - grey).abs() <= 4 * error).all()


def test_bits_are_in_the_type_of_the_levels_and_fixed_by_a_generator():
    one, other = (
        binarized(torch.rand(9).double() * 0 + 0.5, torch.Generator().manual_seed(s))
        for s in (3, 3)
    )
    assert one.dtype == torch.float64
    assert torch.equal(one, other)


@pytest.mark.parametrize("size", [7, 1000])
def test_bytes_are_divided_by_255(size):
    torch.testing.assert_close(
        torch.cat(list(ROWS.batches(size))),
        torch.from_numpy(GREY) / 255,
        rtol=0,
        atol=0,
    )
    assert ROWS.array.dtype == torch.uint8


def test_bytes_are_numbers_where_they_are_not_grey():
    np.testing.assert_array_equal(
        torch.cat(list(as_rows(GREY, (3, 5)).batches(7))), GREY
    )


def test_rows_binarized_once_stay_the_same_in_every_pass_and_batch():
    rows = binarized_once(ROWS, (3, 5), 1, TARGET)
    first, again, others = (torch.cat(list(rows.batches(size))) for size in (7, 7, 100))
    assert torch.equal(first, again)
    assert torch.equal(first, others)
    assert set(first.unique().tolist()) == {0.0, 1.0}
    grey = torch.from_numpy(GREY) / 255
    error = (grey * (1 - grey)).sum().sqrt()
    assert abs(float(first.sum() - grey.sum())) <= 4 * error
    assert (first[grey == 0] == 0).all()
    assert (first[grey == 1] == 1).all()
    assert rows.array.nbytes == 300 * 2
    assert not torch.equal(
        first, torch.cat(list(binarized_once(ROWS, (3, 5), 2, TARGET).batches(7)))
    )


def test_statistics_of_bits_are_those_of_many_bits():
    """Two rows of 0.2 and 0.6: the bits have mean 0.4 and variance 0.24; the levels have 0.04."""
    grey = statistics([torch.tensor([[0.2], [0.6]], dtype=torch.float64)])
    assert float(grey.std) == pytest.approx(0.2)
    bits = bits_of(grey)
    assert (float(bits.mean), float(bits.std)) == pytest.approx((0.4, 0.24**0.5))
    assert set(bits.sample.unique().tolist()) <= {0.0, 1.0}
    with own_seed(0):
        drawn = statistics([binarized(torch.tensor([[0.2], [0.6]]).repeat(50_000, 1))])
    assert float(drawn.std) == pytest.approx(float(bits.std), abs=0.005)


def test_bits_given_as_bytes_are_refused_as_levels():
    dark = as_rows((GREY > 100).astype(np.uint8), (3, 5), TARGET)
    with pytest.raises(
        ValueError,
        match=r"x: expected grey levels .* got none above 1 / 255; bits need no binarize",
    ):
        list(levels(dark.batches(7), "x"))
    assert len(list(levels(ROWS.batches(100), "x"))) == 3
