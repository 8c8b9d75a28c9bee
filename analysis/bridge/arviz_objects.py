"""From named numpy arrays to what the installed ArviZ takes; this file never imports torch."""

import importlib
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyro_vae.analysis.bridge.coordinates import feature_coordinate, row_coordinate
from pyro_vae.analysis.bridge.dimensions import BESIDE, GROUPS
from pyro_vae.version import __version__

__all__ = [
    "as_installed",
    "as_integers",
    "installed_arviz",
    "library_attributes",
    "to_datatree",
]

Array = npt.NDArray[Any]


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
    cells: Sequence[str] | None = None,
    scalars: Collection[str] = (),
    has_chains: bool = False,
) -> Any:
    """Label arrays with ArviZ's groups, dimensions and coordinates.

    The dimensions are `chain` (added here, of size 1), `draw`, `observation`, then `latent` for
    codes, and `feature` (one data dimension) or `feature_0`, `feature_1`, ... (several) for data.
    Values keep their type and are not copied. ArviZ 0.23's `plot_ppc` refuses unsigned integers:
    pass pictures of `uint8` as `int16` where it shall draw them. What stands beside draws and is
    none, such as `pareto_k` in `resampled`, is a coordinate: it goes with the rows that are chosen.

    References:
        ArviZ a unified library for exploratory analysis of Bayesian models in Python (Kumar,
        Carroll, Hartikainen, Martin, 2019)

    Arguments:
        groups: group -> variable -> array without the chain dimension. `posterior`, `prior`: (draw,
            observation, latent); `posterior_predictive`, `prior_predictive`: (draw, observation,
            *data_shape); `observed_data`: (observation, *data_shape); `constant_data`:
            (observation,); `sample_stats`, `log_likelihood`: (draw, observation), in nats;
            `resampled`: (draw, observation, latent), with `pareto_k` and `ess` (observation,);
            `variational`: `loc`, `scale` (observation, latent), `scale_tril` (observation, latent,
            latent), others (observation,); `imputations`: (imputation, observation, *data_shape);
            `imputed_cells`: (draw, cell), with `cell_row` and `cell_column` (cell,).
        attrs: what to note on the whole tree: strings and numbers only, which is what netCDF keeps.
        columns: the names of the features of one-dimensional data; the default is integers from 0.
        rows: the labels of the observations; the default is integers from 0.
        cells: the names of the imputed cells; the default is integers from 0.
        scalars: names of data with one number for each row, such as single columns of a table;
            they have no feature.
        has_chains: draws have a dimension of chains before that of draws, and none is added.

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
            _label(group, name, np.asarray(array), scalars, has_chains)
            for name, array in by_name.items()
        ]
    _check_sizes(arrays)
    labels = _labels(arrays, columns, rows)
    if cells is not None:
        labels["cell"] = list(cells)
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


def library_attributes() -> dict[str, str | int | float]:
    """What ArviZ notes on a tree: where it is from."""
    return {
        "inference_library": "pyro_vae",
        "inference_library_version": __version__,
    }


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


def installed_arviz() -> Any:
    """The installed ArviZ, without the notice that 0.23 gives once a day on import."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=r"\s*ArviZ is undergoing", category=FutureWarning
        )
        return importlib.import_module("arviz")


def _check_groups(groups: Mapping[str, Mapping[str, npt.ArrayLike]]) -> None:
    unknown = sorted(set(groups) - set(GROUPS))
    if unknown:
        raise ValueError(
            f"groups: expected names out of {list(GROUPS)}, got {unknown}; rename or drop them"
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


def _label(
    group: str,
    name: str,
    array: Array,
    scalars: Collection[str],
    has_chains: bool,
) -> _Labelled:
    """Add the names of all dimensions, and a chain where there is none."""
    dims = GROUPS[group].dims(name, array.ndim - has_chains, scalars)
    expected = [dim for dim in dims if has_chains or dim != "chain"]
    if array.ndim != len(expected):
        chain = "keep" if has_chains else "leave out the chain, and keep"
        raise ValueError(
            f"{group}[{name!r}]: expected shape ({', '.join(expected)}), got {array.shape}; {chain}"
            " the other dimensions even where they are 1"
        )
    if "chain" in dims and not has_chains:
        array = array[None]
    return _Labelled(group, name, dims, array)


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


_DRAWS_OF = {
    "prior": "draws of the prior",
    "prior_predictive": "draws of the prior",
    "imputed_cells": "completed tables",
}


def _counts(labelled: _Labelled) -> dict[str, int]:
    """The sizes of an array by the names that they have in messages."""
    counts: dict[str, int] = {}
    data_dims = sum(dim.startswith("feature") for dim in labelled.dims)
    if data_dims:
        counts["number of data dimensions"] = data_dims
    for dim, size in labelled.sizes.items():
        counts[_DRAWS_OF.get(labelled.group, "draws") if dim == "draw" else dim] = size
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
    variables: dict[str, Any] = {}
    for labelled in arrays:
        is_beside = labelled.name in BESIDE.get(labelled.group, ())
        held = coords if is_beside else variables
        held[labelled.name] = (labelled.dims, labelled.array)
    return xr.Dataset(variables, coords=coords)
