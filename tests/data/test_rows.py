"""Rows of any origin become the same batches, each row once a pass; others are refused."""

import numpy as np
import pytest
import torch
from torch.distributions import constraints
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from pyro_vae.data import ArrayRows, Placement, as_rows, checked, statistics
from pyro_vae.data.placement import as_tensor
from pyro_vae.data.supports import describe
from pyro_vae.experiment.description import DataOptions
from pyro_vae.experiment.sources import read_source
from pyro_vae.likelihoods import LIKELIHOODS

ROWS, SHAPE = 23, (2, 3)
X = np.random.default_rng(0).normal(size=(ROWS, *SHAPE)).astype(np.float32)
WIDE = Placement(dtype=torch.float64)


class Listed(Dataset):
    """A map-style dataset of arrays."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


class Labelled(Listed):
    """One whose items are a row and its label."""

    def __getitem__(self, index):
        return self.rows[index], index


class Streamed(IterableDataset):
    """A dataset of unknown length that starts anew in each pass."""

    def __init__(self, rows):
        self.rows = rows

    def __iter__(self):
        return iter(self.rows)


class Exhausted(IterableDataset):
    """A dataset that can be read once."""

    def __init__(self, rows):
        self.rows = iter(rows)

    def __iter__(self):
        return self.rows


def loader(data, size=5, **options):
    return DataLoader(data, batch_size=size, **options)


def on_disk(array, folder, mode="r"):
    """The array as a file that is read where it lies."""
    np.save(folder / "rows.npy", array)
    return np.load(folder / "rows.npy", mmap_mode=mode)


def rows_of(x, target=WIDE, shape=SHAPE):
    return as_rows(x, shape, target)


def cut(x, size=5, generator=None):
    """All batches of one pass."""
    return list(rows_of(x).batches(size, generator))


def by_value(rows):
    """The rows in an order that doesn't depend on theirs."""
    flat = np.asarray(rows, dtype=np.float64).reshape(len(rows), -1)
    return flat[np.lexsort(flat.T)]


MEMORY = {
    "array": lambda folder: X,
    "tensor": lambda folder: torch.from_numpy(X),
    "list": lambda folder: X.tolist(),
    "memmap": lambda folder: on_disk(X, folder),
    "writable memmap": lambda folder: on_disk(X, folder, "r+"),
    "big-endian memmap": lambda folder: on_disk(X.astype(">f4"), folder),
    "TensorDataset": lambda folder: TensorDataset(
        torch.from_numpy(X), torch.arange(ROWS)
    ),
    "Dataset": lambda folder: Listed(X),
    "labelled Dataset": lambda folder: Labelled(X),
}
LOADERS = {
    "DataLoader": lambda: loader(torch.from_numpy(X)),
    "of tuples": lambda: loader(TensorDataset(torch.from_numpy(X), torch.arange(ROWS))),
    "of dicts": lambda: loader([{"x": row, "label": 1} for row in X]),
    "of arrays": lambda: loader(X, collate_fn=np.stack),
    "of lists": lambda: loader(
        Labelled(X),
        collate_fn=lambda items: (np.stack([row for row, _ in items]).tolist(), [0]),
    ),
    "of a stream": lambda: loader(Streamed(X)),
}


@pytest.mark.parametrize("origin", MEMORY)
def test_batches_hold_the_rows_in_order_and_the_last_is_short(origin, tmp_path):
    batches = cut(MEMORY[origin](tmp_path))
    assert [len(batch) for batch in batches] == [5, 5, 5, 5, 3]
    assert rows_of(MEMORY[origin](tmp_path)).steps(5) == 5
    assert all(
        batch.dtype == torch.float64 and batch.is_contiguous() for batch in batches
    )
    np.testing.assert_array_equal(torch.cat(batches), X)


@pytest.mark.parametrize("origin", MEMORY)
def test_a_random_pass_holds_each_row_once_and_the_next_has_another_order(
    origin, tmp_path
):
    rows, generator = (
        rows_of(MEMORY[origin](tmp_path)),
        torch.Generator().manual_seed(3),
    )
    first, second = (torch.cat(list(rows.batches(5, generator))) for _ in range(2))
    assert not torch.equal(first, torch.as_tensor(X))
    assert not torch.equal(first, second)
    for batch in (first, second):
        np.testing.assert_array_equal(by_value(batch), by_value(X))


def test_one_generator_gives_one_order_whatever_the_origin(tmp_path):
    orders = [
        torch.cat(cut(make(tmp_path), 5, torch.Generator().manual_seed(1)))
        for make in MEMORY.values()
    ]
    assert all(torch.equal(order, orders[0]) for order in orders)


@pytest.mark.parametrize("size", [1, 4, 5, 22, 23, 24, 100])
@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_stacks_are_whole_batches_and_a_shorter_one(size, count):
    """Of 23 rows; each stack as full as can be."""
    stacks = list(rows_of(X).stacks(size, count, torch.Generator().manual_seed(1)))
    whole, rest = divmod(ROWS, size)
    filled, few = divmod(whole, count)
    shapes = (
        [(count, size)] * filled + [(few, size)] * (few > 0) + [(1, rest)] * (rest > 0)
    )
    assert [tuple(stack.shape) for stack in stacks] == [
        (*shape, *SHAPE) for shape in shapes
    ]
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(1))
    np.testing.assert_array_equal(
        torch.cat([stack.flatten(0, 1) for stack in stacks]), X[order]
    )


@pytest.mark.parametrize("make", [*LOADERS.values(), lambda: Listed(X)])
def test_rows_that_come_by_batches_are_stacks_of_one(make):
    stacks = list(rows_of(make()).stacks(5, 4))
    assert [tuple(stack.shape) for stack in stacks] == [(1, 5, *SHAPE)] * 4 + [
        (1, 3, *SHAPE)
    ]
    np.testing.assert_array_equal(torch.cat(stacks, 1)[0], X)


def test_batches_are_cut_together(monkeypatch):
    """40 batches of 10 rows of 64 numbers: 16 at a time; of 2**14 numbers a row, one at a time."""
    cuts = []
    cut_one = ArrayRows._cut
    monkeypatch.setattr(
        ArrayRows,
        "_cut",
        lambda self, index: cuts.append(index) or cut_one(self, index),
    )
    for width, sizes in ((64, [160, 160, 80]), (2**14, [10] * 40)):
        cuts.clear()
        list(
            as_rows(np.zeros((400, width), np.uint8), (width,)).batches(
                10, torch.Generator()
            )
        )
        assert [len(index) for index in cuts] == sizes


@pytest.mark.parametrize("origin", LOADERS)
def test_a_loader_gives_its_own_batches(origin):
    rows = rows_of(LOADERS[origin]())
    for _ in range(2):
        batches = list(rows.batches(999, torch.Generator()))
        assert [len(batch) for batch in batches] == [5, 5, 5, 5, 3]
        np.testing.assert_array_equal(torch.cat(batches), X)
    assert (len(rows), rows.steps(999)) == (ROWS, 5)


def test_a_stream_is_counted_once():
    stream = Streamed(X)
    rows = rows_of(loader(stream))
    assert rows.steps(5) == 5
    stream.rows = X[:1]
    assert rows.steps(5) == 5


def test_a_bare_stream_is_taken():
    np.testing.assert_array_equal(torch.cat(cut(Streamed(X))), X)


def test_a_dataset_is_asked_for_each_row_once():
    asked = []
    dataset = Listed(X)
    dataset.__class__ = type(
        "Counted",
        (Listed,),
        {"__getitem__": lambda self, i: asked.append(i) or self.rows[i]},
    )
    cut(dataset, 4, torch.Generator().manual_seed(0))
    assert sorted(asked) == list(range(ROWS))


# Nothing is read before its time


class Watched(np.memmap):
    """A memmap that notes what it is asked for."""

    asked = ()

    def __getitem__(self, index):
        Watched.asked = (*Watched.asked, index)
        return super().__getitem__(index)


@pytest.mark.parametrize(
    "generator", [None, torch.Generator()], ids=["in order", "random"]
)
@pytest.mark.parametrize("part", [False, True], ids=["all rows", "some rows"])
def test_one_call_reads_several_batches_from_the_disk_in_the_order_of_the_file(
    generator, part, tmp_path
):
    array = on_disk(X, tmp_path).view(Watched)
    rows = rows_of(array)
    rows = rows.select(torch.arange(1, ROWS)) if part else rows
    assert rows.array is array
    Watched.asked = ()
    list(rows.stacks(5, 2, generator))
    asked = [np.arange(ROWS)[index] for index in Watched.asked]
    assert [len(index) for index in asked] == [10, 10, len(rows) - 20]
    assert all((np.diff(index) > 0).all() for index in asked)


def test_bytes_stay_bytes_until_they_are_cut():
    array = np.arange(ROWS * 6, dtype=np.uint8).reshape(ROWS, *SHAPE)
    rows = rows_of(array)
    assert rows.array.dtype == torch.uint8
    assert rows.array.data_ptr() == array.ctypes.data
    assert {batch.dtype for batch in rows.batches(5)} == {torch.float64}


def test_a_plain_array_is_shared_not_copied():
    assert rows_of(X, Placement()).array.data_ptr() == X.ctypes.data


TROUBLE = {
    "Fortran order": np.asfortranarray(X),
    "every second row": np.repeat(X, 2, axis=0)[::2],
    "reversed": X[::-1][::-1][::-1],
    "big-endian": X.astype(">f8"),
    "float16": X.astype(np.float16),
    "longdouble": X.astype(np.longdouble),
    "bool": X > 0,
    "uint16": (X > 0).astype(np.uint16),
    "uint64": (X > 0).astype(np.uint64),
    "masked nowhere": np.ma.masked_array(X),
    "transposed tensor": torch.from_numpy(
        np.ascontiguousarray(X.swapaxes(1, 2))
    ).transpose(1, 2),
    "a tensor with a gradient": torch.from_numpy(X).clone().requires_grad_().mul(1.0),
}


@pytest.mark.parametrize("order", [None, 0])
@pytest.mark.parametrize("case", TROUBLE)
def test_any_layout_and_type_gives_plain_contiguous_batches(case, order):
    array = TROUBLE[case]
    batches = cut(
        array, 5, None if order is None else torch.Generator().manual_seed(order)
    )
    assert all(batch.is_contiguous() and not batch.requires_grad for batch in batches)
    expected = array.detach().numpy() if isinstance(array, torch.Tensor) else array
    np.testing.assert_array_equal(by_value(torch.cat(batches)), by_value(expected))


def test_a_read_only_array_is_copied_and_never_written_to():
    array = X.copy()
    array.flags.writeable = False
    rows = rows_of(array, Placement())
    rows.array.zero_()
    np.testing.assert_array_equal(array, X)


def test_as_tensor_keeps_type_and_device_of_a_tensor():
    x = torch.zeros(2, dtype=torch.int16)
    assert as_tensor(x).data_ptr() == x.data_ptr()


# Some of the rows


@pytest.mark.parametrize("origin", MEMORY)
def test_a_selection_cuts_from_the_same_rows(origin, tmp_path):
    rows = rows_of(MEMORY[origin](tmp_path))
    index = torch.tensor([7, 3, 20, 11])
    part = rows.select(index)
    assert (len(part), part.steps(3)) == (4, 2)
    np.testing.assert_array_equal(torch.cat(list(part.batches(3))), X[index])
    drawn = torch.cat(list(part.batches(3, torch.Generator().manual_seed(0))))
    np.testing.assert_array_equal(by_value(drawn), by_value(X[index]))
    if isinstance(rows, ArrayRows):
        assert part.array is rows.array


def test_a_part_of_a_part_is_a_part_of_it():
    part = rows_of(X).select(torch.tensor([7, 3, 20, 11])).select(torch.tensor([2, 0]))
    np.testing.assert_array_equal(torch.cat(list(part.batches(1))), X[[20, 7]])


def test_rows_are_taken_as_they_are():
    rows = rows_of(X)
    assert rows_of(rows) is rows


# Statistics


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("size", [1, 7, 1000, 5000])
def test_statistics_are_those_of_numpy(offset, size):
    """Batches of 1 to 5000 of 5000 rows, the last one short.

    A sum of 5003 squares loses at most 5003 · eps = 1e-12, and in practice its root. The offset
    must cost nothing: the textbook E x² - (E x)² would be off by 1e-4.
    """
    x = offset + np.random.default_rng(1).normal(size=(5003, 3)) * [0.5, 1.0, 3.0]
    summary = statistics(rows_of(x, shape=(3,)).batches(size))
    assert summary.rows == 5003
    assert summary.mean.dtype == summary.std.dtype == torch.float64
    np.testing.assert_allclose(summary.mean, x.mean(0), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(summary.std, x.std(0), rtol=1e-12)


def test_statistics_of_bytes_are_exact():
    x = np.random.default_rng(2).integers(0, 256, size=(1000, *SHAPE), dtype=np.uint8)
    summary = statistics(rows_of(x, Placement(dtype=torch.float32)).batches(64))
    np.testing.assert_allclose(summary.mean, x.mean(0), rtol=1e-14)
    np.testing.assert_allclose(summary.std, x.std(0), rtol=1e-13)


def test_a_constant_column_has_no_spread():
    assert statistics(
        [torch.full((5, 1), 0.1), torch.full((3, 1), 0.1)]
    ).std.tolist() == [0.0]


def test_the_sample_is_the_first_batch():
    batches = cut(X)
    assert torch.equal(statistics(batches).sample, batches[0])


# What is refused

NO_ROWS = {
    "strings": (
        np.array([["a", "b"]]),
        r"x: expected real numbers, got dtype <U1; convert it first",
    ),
    "objects": (np.array([[1, None]]), r"x: expected real numbers, got dtype object"),
    "nothing": (None, r"x: expected real numbers, got dtype object"),
    "complex array": (
        np.zeros((3, 2), complex),
        r"x: expected real numbers, got dtype complex128",
    ),
    "complex tensor": (
        torch.zeros(3, 2, dtype=torch.cfloat),
        r"x: expected real numbers, got dtype torch.complex64",
    ),
    "dates": (
        np.zeros((3, 2), "M8[s]"),
        r"x: expected real numbers, got dtype datetime64",
    ),
    "ragged": (
        [[1.0, 2.0], [3.0]],
        r"x: expected an array of rows of one length, got rows that differ",
    ),
    "masked": (
        np.ma.masked_array([[1.0, 2.0]], [[True, False]]),
        r"x: .* got a masked array; fill or drop",
    ),
    "empty": (
        np.zeros((0, 2)),
        r"x: expected at least one row, got none \(shape \(0, 2\)\)",
    ),
    "empty list": ([], r"x: expected at least one row, got none"),
    "too wide": (
        np.zeros((3, 3)),
        r"x: expected rows of shape \(2,\), got \(3,\) in \(3, 3\); change data_shape",
    ),
    "one row": (np.zeros(2), r"x: expected rows of shape \(2,\), got \(\) in \(2,\)"),
    "a number": (
        np.float64(1.0),
        r"x: expected rows of shape \(2,\), got \(\) in \(\)",
    ),
    "images": (
        np.zeros((3, 1, 2)),
        r"x: expected rows of shape \(2,\), got \(1, 2\) .*reshape it to \(n, 2\)",
    ),
}


@pytest.mark.parametrize("case", NO_ROWS)
def test_what_is_no_rows_is_refused(case):
    x, message = NO_ROWS[case]
    with pytest.raises(ValueError, match=message):
        as_rows(x, (2,))


LATER = {
    "strings": (loader(["a", "b"]), r"x: expected real numbers, got dtype <U1"),
    "complex": (
        loader(torch.zeros(3, 2, dtype=torch.cfloat)),
        r"x: expected real numbers, got dtype torch.complex64",
    ),
    "ragged": (
        loader(
            [[1.0], [1.0, 2.0]], collate_fn=lambda rows: {"x": np.array(rows, object)}
        ),
        r"dtype object",
    ),
    "empty stream": (
        loader(Streamed([])),
        r"x: expected at least one row in each pass over the loader, got none",
    ),
    "empty loader": (
        loader([]),
        r"x: expected at least one row in each pass over the loader, got none",
    ),
    "too wide": (
        loader(torch.zeros(3, 3)),
        r"x: expected rows of shape \(2,\), got \(3,\)",
    ),
    "rows, not batches": (
        DataLoader(torch.zeros(3, 2), batch_size=None),
        r"x: expected rows of shape \(2,\), got \(\)",
    ),
}


@pytest.mark.parametrize("case", LATER)
def test_what_a_loader_gives_is_refused_when_it_comes(case):
    data, message = LATER[case]
    batches = as_rows(data, (2,)).batches(5)
    with pytest.raises(ValueError, match=message):
        list(checked(batches, (2,), support=constraints.real, remedy="", name="x"))


def test_a_stream_that_ends_for_good_is_refused_in_the_second_pass():
    rows = rows_of(loader(Exhausted(X)))
    assert len(list(rows.batches(5))) == 5
    with pytest.raises(ValueError, match="at least one row in each pass"):
        list(rows.batches(5))


def look(x, likelihood, shape=(3,), size=2, **options):
    """Pass x through the check of a likelihood."""
    family = LIKELIHOODS[likelihood](shape, **options)
    batches = as_rows(x, shape).batches(size)
    return list(
        checked(batches, shape, support=family.support, remedy=family.remedy, name="x")
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("row", "column"), [(0, 0), (4, 2)])
def test_numbers_that_are_not_finite_are_named_with_row_and_column(value, row, column):
    x = np.zeros((5, 3))
    x[row, column] = x[4, 2] = value
    with pytest.raises(
        ValueError,
        match=rf"x: expected finite numbers, got {value:g} in row {row}, column {column};",
    ):
        look(x, "normal")


def test_a_number_too_large_for_the_type_is_not_finite():
    with pytest.raises(ValueError, match="got inf in row 1, column 0"):
        look(np.array([[0.0], [1e39]]), "normal", (1,))


def test_a_place_in_an_image_has_all_its_coordinates():
    x = np.zeros((3, 4, 5))
    x[1, 2, 3] = np.nan
    with pytest.raises(ValueError, match=r"got nan in row 1, column \(2, 3\)"):
        look(x, "normal", (4, 5))


def test_grey_pixels_under_bits_are_refused_with_the_remedies():
    x = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0], [0.0, 0.5, 0.0]])
    with pytest.raises(ValueError, match="support") as found:
        look(x, "bernoulli")
    for part in (
        "{0, 1}",
        "got 0.5 in row 2, column 1",
        "binarize",
        "'continuous_bernoulli'",
        "'normal'",
    ):
        assert part in str(found.value)


@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_values_outside_the_unit_interval_are_refused(value):
    with pytest.raises(ValueError, match=rf"got {value:g} in row 1, column 2"):
        look(np.array([[0.0, 0.3, 1.0], [0.1, 0.2, value]]), "continuous_bernoulli")


@pytest.mark.parametrize("value", [-1, 0.5, 17])
def test_what_is_no_count_is_refused(value):
    with pytest.raises(ValueError, match=rf"got {value:g} in row 0, column 1"):
        look(np.array([[0, value, 16]]), "binomial", total_count=16)


def test_a_support_of_whole_rows_is_checked():
    batches = as_rows(np.array([[0.5, 0.5], [0.5, 0.6]]), (2,)).batches(5)
    with pytest.raises(ValueError, match="row 1, column 0"):
        list(
            checked(
                batches, (2,), support=constraints.simplex, remedy="normalise", name="x"
            )
        )


def test_good_rows_pass_unchanged():
    x = np.random.default_rng(0).integers(0, 2, (7, 3))
    np.testing.assert_array_equal(torch.cat(look(x, "bernoulli")), x)


@pytest.mark.parametrize(
    ("support", "words"),
    [
        (constraints.boolean, "{0, 1}"),
        (constraints.real, "of real numbers"),
        (constraints.nonnegative, ""),
    ],
)
def test_supports_have_words(support, words):
    assert words in describe(support)


def test_channels_at_the_other_end_are_moved_and_not_reshaped(tmp_path):
    images = np.zeros((4, 8, 6, 3), np.float32)
    message = (
        r"got \(8, 6, 3\) .*; move the axis of the channels, x\.transpose\(0, 3, 1, 2\)"
    )
    with pytest.raises(ValueError, match=message):
        as_rows(images, (3, 8, 6))
    assert len(as_rows(images.transpose(0, 3, 1, 2), (3, 8, 6))) == 4
    np.save(tmp_path / "x.npy", images)
    options = DataOptions(source=str(tmp_path / "x.npy"))
    with pytest.raises(
        ValueError, match=r"would mix the pixels: move .*\(0, 3, 1, 2\)"
    ):
        read_source(options, (3, 8, 6))
    assert read_source(options, (8, 18)).train.shape == (4, 8, 18)
    np.save(tmp_path / "x.npy", images[..., :1])
    assert read_source(options, (1, 8, 6)).train.shape == (4, 1, 8, 6)
