"""From named numpy arrays to what the installed ArviZ takes; this file never imports torch."""

import importlib
import os
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyro_vae.analysis.bridge.coordinates import feature_coordinate, row_coordinate
from pyro_vae.atomic_files import written_whole

__all__ = ["as_integers", "installed_arviz", "to_datatree", "write_netcdf"]

Array = npt.NDArray[Any]

_DRAWN = ("chain", "draw", "observation")
_LEADING = {
    "posterior": _DRAWN,
    "posterior_predictive": _DRAWN,
    "prior": _DRAWN,
    "prior_predictive": _DRAWN,
    "observed_data": ("observation",),
    "constant_data": ("observation",),
    "sample_stats": _DRAWN,
    "imputations": ("imputation", "observation"),
}
_TRAILING: dict[str, tuple[str, ...]] = {
    "posterior": ("latent",),
    "prior": ("latent",),
    "constant_data": (),
    "sample_stats": (),
}


class _Labelled(NamedTuple):
    """One array as it will be in the tree."""

    group: str
    name: str
    dims: tuple[str, ...]
    array: Array

    def __str__(self) -> str:
        return f"{self.group}[{self.name!r}]"

    @property
    def sizes(self) -> dict[str, int]:
        return dict(zip(self.dims, self.array.shape, strict=True))


def to_datatree(
    groups: Mapping[str, Mapping[str, npt.ArrayLike]],
    *,
    attrs: Mapping[str, str | int | float] = {},
    columns: Sequence[Any] | None = None,
    rows: Sequence[Any] | None = None,
    scalars: Collection[str] = (),
) -> Any:
    """Label arrays with ArviZ's groups, dimensions and coordinates.

    The dimensions are `chain` (added here, of size 1), `draw`, `observation`, then `latent` for
    codes, and `feature` (one data dimension) or `feature_0`, `feature_1`, ... (several) for data.
    Values keep their type and are not copied. ArviZ 0.23's `plot_ppc` refuses unsigned integers:
    pass pictures of `uint8` as `int16` where it shall draw them.

    References:
        ArviZ a unified library for exploratory analysis of Bayesian models in Python (Kumar,
        Carroll, Hartikainen, Martin, 2019)

    Arguments:
        groups: group -> variable -> array without the chain dimension. `posterior`, `prior`: (draw,
            observation, latent); `posterior_predictive`, `prior_predictive`: (draw, observation,
            *data_shape); `observed_data`: (observation, *data_shape); `constant_data`:
            (observation,); `sample_stats`: (draw, observation), in nats; `imputations`:
            (imputation, observation, *data_shape).
        attrs: what to note on the whole tree: strings and numbers only, which is what netCDF keeps.
        columns: the names of the features of one-dimensional data; the default is integers from 0.
        rows: the labels of the observations; the default is integers from 0.
        scalars: names of data with one number for each row, such as single columns of a table;
            they have no feature.

    Returns:
        An `arviz.InferenceData` on ArviZ 0.x, an `xarray.DataTree` on ArviZ 1.x.

    Raises:
        ValueError: an unknown group, sizes that do not agree, or an attribute that is no string
            or number.

    Example:
        >>> z = np.zeros((100, 5, 2))
        >>> x = np.zeros((5, 64))
        >>> groups = {"posterior": {"z": z}, "observed_data": {"x": x}}
        >>> tree = to_datatree(groups, attrs={"guide": "mean_field"})
        >>> tree["posterior"]["z"].dims
        ('chain', 'draw', 'observation', 'latent')
    """
    import xarray as xr

    _check_groups(groups)
    _check_attributes(attrs)
    arrays: list[_Labelled] = []
    for group, by_name in groups.items():
        arrays += [
            _label(group, name, np.asarray(array), scalars)
            for name, array in by_name.items()
        ]
    _check_sizes(arrays)
    labels = _labels(arrays, columns, rows)
    nodes = {"/": xr.Dataset(attrs=dict(attrs))}
    for group in groups:
        nodes[group] = _dataset(
            [array for array in arrays if array.group == group], labels
        )
    return as_installed(xr.DataTree.from_dict(nodes))


def as_installed(tree: Any) -> Any:
    """A tree as what the installed ArviZ takes: `arviz.InferenceData` on 0.x, itself on 1.x."""
    arviz = installed_arviz()
    return arviz.from_datatree(tree) if hasattr(arviz, "from_datatree") else tree


def as_integers(whole: Array) -> Array:
    """Whole numbers in floating point as int32, or as int64 where they don't fit.

    Numbers that are too large for int64 stay as they are. ArviZ takes the type for the kind of
    data: it draws integers as steps and a density of floating point, and its rootograms refuse the
    latter.

    Example:
        >>> as_integers(np.array([0.0, 3.0])).dtype
        dtype('int32')
        >>> as_integers(np.array([1e10])).dtype
        dtype('int64')
        >>> as_integers(np.array([1e20]))
        array([1.e+20])
    """
    largest = np.abs(whole).max(initial=0)
    fitting = (kind for kind in (np.int32, np.int64) if largest < np.iinfo(kind).max)
    kind = next(fitting, None)
    return whole if kind is None else whole.astype(kind)


def write_netcdf(tree: Any, path: str | os.PathLike[str]) -> None:
    """Write a tree to one netCDF file, whole or not at all; numbers keep their type.

    References:
        NetCDF: an interface for scientific data access (Rew, Davis, 1990)

    Arguments:
        tree: what `to_datatree` returned: an `arviz.InferenceData` or an `xarray.DataTree`.
        path: the file; one of that name is replaced. `arviz.from_netcdf` reads it back.

    Raises:
        FileNotFoundError: the folder does not exist.

    Example:
        >>> import tempfile
        >>> tree = to_datatree({"posterior": {"z": np.zeros((100, 5, 2))}})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_netcdf(tree, f"{folder}/codes.nc")
    """
    with written_whole(path) as temporary:
        tree = tree.to_datatree() if hasattr(tree, "to_datatree") else tree
        # HDF5 ends the process where a disk is full, and bytes in memory make an OSError of that
        temporary.write_bytes(tree.to_netcdf(engine="h5netcdf"))


def installed_arviz() -> Any:
    """The installed ArviZ, without the notice that 0.23 gives once a day on import."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=r"\s*ArviZ is undergoing", category=FutureWarning
        )
        return importlib.import_module("arviz")


def _check_groups(groups: Mapping[str, Mapping[str, npt.ArrayLike]]) -> None:
    unknown = sorted(set(groups) - set(_LEADING))
    if unknown:
        raise ValueError(
            f"groups: expected names out of {list(_LEADING)}, got {unknown}; rename or drop them"
        )
    empty = [group for group, arrays in groups.items() if not arrays]
    if empty or not groups:
        raise ValueError(
            f"groups: expected at least one array in each, got none in {empty or 'any'}; leave "
            "them out"
        )


def _check_attributes(attrs: Mapping[str, str | int | float]) -> None:
    for name, value in attrs.items():
        is_bool = isinstance(value, bool | np.bool)
        if is_bool or not isinstance(value, str | int | float | np.number):
            raise ValueError(
                f"attrs[{name!r}]: expected a string or a number, got {value!r} of type "
                f"{type(value).__name__}; write it as a string (json.dumps), or leave it out"
            )


def _label(group: str, name: str, array: Array, scalars: Collection[str]) -> _Labelled:
    """Add the chain dimension and the names of all dimensions."""
    leading = _LEADING[group]
    without_chain = [dim for dim in leading if dim != "chain"]
    trailing = _TRAILING.get(group)
    if trailing is None and name in scalars:
        trailing = ()
    if trailing is None:
        trailing = _data_dims(array.ndim - len(without_chain))
    expected = [*without_chain, *trailing]
    if array.ndim != len(expected):
        raise ValueError(
            f"{group}[{name!r}]: expected shape ({', '.join(expected)}), got {array.shape}; leave "
            "out the chain, and keep the other dimensions even where they are 1"
        )
    if "chain" in leading:
        array = array[None]
    return _Labelled(group, name, leading + trailing, array)


def _data_dims(count: int) -> tuple[str, ...]:
    return ("feature",) if count <= 1 else tuple(f"feature_{i}" for i in range(count))


def _check_sizes(arrays: Sequence[_Labelled]) -> None:
    """Raise ValueError where a dimension has two sizes; the prior may have draws of its own."""
    seen: dict[str, tuple[int, _Labelled]] = {}
    for labelled in arrays:
        for what, got in _counts(labelled).items():
            expected, first = seen.setdefault(what, (got, labelled))
            if got != expected:
                raise ValueError(
                    f"{labelled}: expected {what} = {expected} as in {first}, got {got}; "
                    "pass arrays of the same rows, draws and columns"
                )


def _counts(labelled: _Labelled) -> dict[str, int]:
    """The sizes of an array by the names that they have in messages."""
    counts: dict[str, int] = {}
    data_dims = sum(dim.startswith("feature") for dim in labelled.dims)
    if data_dims:
        counts["number of data dimensions"] = data_dims
    for dim, size in labelled.sizes.items():
        if dim == "draw" and labelled.group.startswith("prior"):
            counts["draws of the prior"] = size
        elif dim == "draw":
            counts["draws"] = size
        else:
            counts[dim] = size
    return counts


def _labels(
    arrays: Sequence[_Labelled],
    columns: Sequence[Any] | None,
    rows: Sequence[Any] | None,
) -> dict[str, Any]:
    """The coordinates that are no integers from 0, by the name of their dimension."""
    sizes: dict[str, int] = {}
    for labelled in arrays:
        sizes |= labelled.sizes
    labels: dict[str, Any] = {}
    if columns is not None:
        labels["feature"] = feature_coordinate(columns, sizes.get("feature"))
    if rows is not None:
        labels["observation"] = row_coordinate(rows, sizes["observation"])
    return labels


def _dataset(arrays: Sequence[_Labelled], labels: Mapping[str, Any]) -> Any:
    """One group with its coordinates: labels, or integers from 0."""
    import xarray as xr

    coords: dict[str, Any] = {}
    for labelled in arrays:
        for dim, size in labelled.sizes.items():
            coords[dim] = labels.get(dim, np.arange(size))
    variables = {labelled.name: (labelled.dims, labelled.array) for labelled in arrays}
    return xr.Dataset(variables, coords=coords)
