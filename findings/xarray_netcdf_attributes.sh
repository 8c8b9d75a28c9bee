#!/usr/bin/env bash
# xarray 2026.9.0 with h5netcdf 1.8.2 and netCDF4 1.7.5: what a netCDF file does to attributes and
# to missing strings.
# Guess: attributes that can be written come back as they were and do not touch the data.
# Seen:  ["z"] comes back as "z" and [1.5] as 1.5, while ["a", "b"] stays a list. None or nan among
#        strings comes back as "". An attribute named scale_factor multiplies the data on reading
#        (1, 2 -> 2, 4), and one named missing_value turns integers into floats with nan. With units
#        "days since birth" the file is written, and open_dataset raises. The two engines agree on
#        all of it.
# Why:   a list of latent names or a shape of one dimension is a scalar after a save, and `for name
#        in names` then walks letters; a column's own note "scale_factor" changes its values.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 pandas==3.1.1 xarray==2026.9.0 h5netcdf==1.8.2 h5py==3.16.0 \
    netCDF4==1.7.5.1.post1
cd "$work" && env/bin/python -I - <<'PY'
import numpy as np
import xarray as xr


def back(dataset, engine, name):
    path = f"{engine}-{name}.nc"
    dataset.to_netcdf(path, engine=engine)
    with xr.open_dataset(path, engine=engine) as file:
        return file.load()


def noted(**attributes):
    return xr.Dataset({"a": ("x", [1.0, 2.0], attributes)})


for engine in ("h5netcdf", "netcdf4"):
    lists = xr.Dataset(attrs={"one": ["z"], "two": ["a", "b"], "number": [1.5]})
    lists = back(lists, engine, "lists").attrs
    strings = xr.Dataset(
        {
            "s": ("x", np.array(["p", None], dtype=object)),
            "t": ("x", np.array(["q", np.nan], dtype=object)),
        }
    )
    strings = back(strings, engine, "strings")
    scaled = back(noted(scale_factor=2.0), engine, "scaled").a
    missing = back(xr.Dataset({"a": ("x", [1, -9], {"missing_value": -9})}), engine, "missing").a
    print(
        engine,
        dict(lists),
        strings.s.values.tolist(),
        strings.t.values.tolist(),
        scaled.values,
        missing.values,
    )
    assert lists["one"] == "z" and list(lists["two"]) == ["a", "b"], "lists come back differently"
    assert isinstance(lists["number"], np.floating), "lists of numbers come back differently"
    assert strings.s.values.tolist() == ["p", ""] and strings.t.values.tolist() == ["q", ""], (
        "missing strings are kept"
    )
    assert scaled.values.tolist() == [2.0, 4.0], "scale_factor is a note now"
    assert missing.dtype.kind == "f" and np.isnan(missing.values[1]), "missing_value is a note now"
    try:
        back(noted(units="days since birth"), engine, "units")
    except ValueError as error:
        print("   units:", str(error)[:60])
    else:
        raise AssertionError("the units are a note now")
PY
