"""Packed bits: the rows of `numpy.unpackbits`, in an eighth of the memory of bytes."""

import numpy as np
import pytest
import torch

from pyro_vae.data import PackedBits, Placement, as_rows


def bits(n, *shape):
    return np.random.default_rng(0).integers(0, 2, (n, *shape), dtype=np.uint8)


def packed(x):
    return PackedBits(np.packbits(x.reshape(len(x), -1), axis=1), x.shape[1:])


@pytest.mark.parametrize("shape", [(1,), (7,), (8,), (9,), (784,), (3, 5), (2, 3, 4)])
@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("seed", [None, 0])
def test_packed_rows_give_the_batches_of_their_bits(shape, on_disk, seed, tmp_path):
    x = bits(23, *shape)
    rows = packed(x)
    if on_disk:
        np.save(tmp_path / "x.npy", rows.array)
        rows = PackedBits(np.load(tmp_path / "x.npy", mmap_mode="r"), shape)
    for target in (Placement(), Placement(dtype=torch.float64)):
        ours, theirs = (
            list(
                as_rows(one, shape, target).batches(
                    5, None if seed is None else torch.Generator().manual_seed(seed)
                )
            )
            for one in (rows, x)
        )
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
        assert all(
            batch.is_contiguous() and batch.dtype == target.dtype for batch in ours
        )


def test_every_byte_is_unpacked_as_numpy_does():
    every = np.arange(256, dtype=np.uint8)[:, None]
    unpacked = PackedBits(every, (8,)).unpack(torch.from_numpy(every))
    np.testing.assert_array_equal(unpacked, np.unpackbits(every, axis=1))


def test_packed_rows_stay_packed():
    rows = as_rows(packed(bits(1000, 784)), (784,))
    part = rows.select(torch.arange(500))
    assert rows.array.nbytes == 98_000
    assert part.array is rows.array
    assert (len(rows), len(part), rows.steps(300)) == (1000, 500, 4)


WRONG = {
    "too few bytes": (
        np.zeros((3, 97), np.uint8),
        (784,),
        r"uint8 of shape \(n, 98\) for rows of shape \(784,\), got",
    ),
    "floats": (
        np.zeros((3, 98), np.float32),
        (784,),
        r"got float32 \(3, 98\); pack them by numpy.packbits",
    ),
    "a tensor of integers": (
        torch.zeros(3, 98, dtype=torch.int64),
        (28, 28),
        r"got torch.int64 \(3, 98\)",
    ),
    "unflattened": (
        np.zeros((3, 28, 4), np.uint8),
        (28, 28),
        r"got uint8 \(3, 28, 4\)",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_not_packed_is_refused(case):
    array, shape, message = WRONG[case]
    with pytest.raises(ValueError, match="PackedBits: expected " + ".*" + message):
        PackedBits(array, shape)


def test_packed_rows_of_another_shape_are_refused():
    with pytest.raises(
        ValueError, match=r"x: expected rows of shape \(784,\), got \(28, 28\)"
    ):
        as_rows(packed(bits(3, 28, 28)), (784,))
    with pytest.raises(ValueError, match="at least one row"):
        as_rows(PackedBits(np.zeros((0, 1), np.uint8), (8,)), (8,))
