#!/usr/bin/env bash
# xarray 2026.9.0 with zarr 3.1.6: the zeros of a Zarr array of format 2 are missing in xarray.
# Guess: integers that zarr has written with its defaults are the same integers in xarray.
# Seen:  counts 0, 3, 0, 1, 0, 2 are read as nan, 3, nan, 1, nan, 2 in float64, and their mean is 2
#        instead of 1; a False is nan, beside an object True. The fill value that zarr sets by
#        default is 0, what an unwritten chunk is read as; in format 2 xarray takes it for the mark
#        of missing cells. use_zarr_fill_value_as_mask=False doesn't change that,
#        mask_and_scale=False does. Arrays of format 3, and those of xarray's own to_zarr, are
#        right.
# Why:   most cells of a count matrix are 0, and many stores have format 2. Means and likelihoods
#        then leave out the zeros, and an imputation fills them with positive counts.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 pandas==2.3.3 zarr==3.1.6 xarray==2026.9.0
cd "$work" && env/bin/python -I -W error - <<'PY'
import numpy as np
import xarray
import zarr

COUNTS = np.array([[0, 3, 0], [1, 0, 2]], dtype="int32")
DIMS = ["cell", "gene"]

two = zarr.open_group("two.zarr", mode="w", zarr_format=2)
counts = two.create_array("counts", data=COUNTS)
counts.attrs["_ARRAY_DIMENSIONS"] = DIMS
two.create_array("flag", data=COUNTS > 0).attrs["_ARRAY_DIMENSIONS"] = DIMS
three = zarr.open_group("three.zarr", mode="w", zarr_format=3)
three.create_array("counts", data=COUNTS, dimension_names=DIMS)
xarray.Dataset({"counts": (DIMS, COUNTS)}).to_zarr("own.zarr", zarr_format=2, consolidated=False)


def read(path, **options):
    return xarray.open_dataset(path, engine="zarr", consolidated=False, **options)


seen = read("two.zarr")
print("fill value", counts.fill_value, "zarr:", counts[:].tolist())
print("xarray:", seen.counts.values.tolist(), "mean", float(seen.counts.mean()))
print("flags:", seen.flag.values.tolist())
assert np.array_equal(counts[:], COUNTS) and counts.fill_value == 0
assert np.array_equal(seen.counts, np.where(COUNTS, COUNTS, np.nan), equal_nan=True), (
    "zeros of format 2 are read now"
)
assert float(seen.counts.mean()) == 2 and COUNTS.mean() == 1
assert seen.flag.isnull().values.tolist() == (COUNTS == 0).tolist(), "False is read now"
switched = read("two.zarr", use_zarr_fill_value_as_mask=False)
assert int(switched.counts.isnull().sum()) == 3, "the switch has an effect now"
for right in (read("two.zarr", mask_and_scale=False), read("three.zarr"), read("own.zarr")):
    assert np.array_equal(right.counts, COUNTS) and right.counts.dtype == COUNTS.dtype
PY
