"""From named numpy arrays to what the installed ArviZ takes; this file never imports torch."""

import importlib
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyro_vae.analysis.marginal_likelihood.pareto import khat_limit
from pyro_vae.atomic_files import written_whole

__all__ = ["as_integers", "to_datatree", "to_elpd", "write_netcdf"]

Array = npt.NDArray[Any]

_DRAWN = ("chain", "draw", "observation")
_LEADING = {
    "posterior": _DRAWN,
    "posterior_predictive": _DRAWN,
    "prior": _DRAWN,
    "prior_predictive": _DRAWN,
    "observed_data": ("observation",),
    "sample_stats": _DRAWN,
}
_TRAILING: dict[str, tuple[str, ...]] = {
    "posterior": ("latent",),
    "prior": ("latent",),
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
    columns: Sequence[str] | None = None,
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
            *data_shape); `observed_data`: (observation, *data_shape); `sample_stats`: (draw,
            observation), in nats.
        attrs: What to note on the whole tree: strings and numbers only, which is what netCDF keeps.
        columns: The names of the features of one-dimensional data; the default is integers from 0.

    Returns:
        An `arviz.InferenceData` on ArviZ 0.x, an `xarray.DataTree` on ArviZ 1.x.

    Raises:
        ValueError: For an unknown group, sizes that do not agree, or an attribute that is no string
            or number.

    Example:
        >>> z, x = np.zeros((100, 5, 2)), np.zeros((5, 64))
        >>> tree = to_datatree({"posterior": {"z": z}, "observed_data": {"x": x}}, attrs={"guide": "mean_field"})
        >>> tree["posterior"]["z"].dims
        ('chain', 'draw', 'observation', 'latent')
    """
    import xarray as xr

    _check_groups(groups)
    _check_attributes(attrs)
    arrays = [
        _label(group, name, np.asarray(a))
        for group, found in groups.items()
        for name, a in found.items()
    ]
    _check_sizes(arrays)
    names = None if columns is None else _feature_names(arrays, columns)
    nodes = {group: _dataset([a for a in arrays if a.group == group], names) for group in groups}
    tree = xr.DataTree.from_dict({"/": xr.Dataset(attrs=dict(attrs)), **nodes})
    arviz = _arviz()
    return arviz.from_datatree(tree) if hasattr(arviz, "from_datatree") else tree


def as_integers(whole: Array) -> Array:
    """Whole numbers in floating point as int32, or as int64 where they don't fit; beyond that they
    stay as they are.

    ArviZ takes the type for the kind of data: it draws integers as steps and a density of floating
    point, and its rootograms refuse the latter.

    Example:
        >>> as_integers(np.array([0.0, 3.0])).dtype, as_integers(np.array([1e10])).dtype, as_integers(np.array([1e20]))
        (dtype('int32'), dtype('int64'), array([1.e+20]))
    """
    largest = np.abs(whole).max(initial=0)
    fitting = (kind for kind in (np.int32, np.int64) if largest < np.iinfo(kind).max)
    kind = next(fitting, None)
    return whole if kind is None else whole.astype(kind)


def to_elpd(
    log_marginal: npt.ArrayLike,
    pareto_k: npt.ArrayLike,
    *,
    num_particles: int,
    untrusted: npt.ArrayLike | None = None,
) -> Any:
    """Make held-out log p(x) the ELPD object of the installed ArviZ, which its `compare` and
    `plot_khat` take.

    elpd = Σᵢ log p(xᵢ),   se = √(n Varᵢ log p(xᵢ))

    `az.loo` on log p(x | z) is not that: z belongs to the row, and leaving the row out leaves its z
    out. It is then a harmonic mean of p(x | z) over the guide's draws: for the digits' VAE of the
    README k-hat is above 0.7 on 99 % of rows; with 200 draws it is too good by 2.2 ± 0.4 nats a row
    held out and by 6.6 ± 0.4 on trained rows, with 1000 draws off by -0.9 ± 0.7, and on single rows
    by -41 to +16.

    ArviZ calls the object "loo"; no row was left out here, and the effective number of parameters,
    p, is nan. The default weights of `az.compare`, stacking, underflow where all log p(x) are below
    about -700 nats: take method="BB-pseudo-BMA" there; differences and their standard errors don't
    depend on it. ArviZ 1.3 rounds its table of comparisons (-42 152.86 is -42 000.0 there):
    `az.compare(models, round_to="none")` has the numbers.

    References:
        Practical Bayesian model evaluation using leave-one-out cross-validation and WAIC (Vehtari,
        Gelman, Gabry, 2017)

    Arguments:
        log_marginal: log p(x) of each held-out row in nats, (rows,).
        pareto_k: k-hat of each, (rows,).
        num_particles: The draws behind each, or their mean.
        untrusted: whether log p(x) of a row is not to be trusted; by default where k-hat is above
            the limit for so many draws, `khat_limit`, or is no number.

    Returns:
        An `arviz.ELPDData` on ArviZ 0.x, an `arviz_stats.ELPDDataLOO` on ArviZ 1.x.

    Raises:
        ValueError: When there is no row, or the arrays are not two of one length, or log p(x) is
            not finite.

    Example:
        >>> int(to_elpd([-80.0, -90.0, -100.0], [0.1, 0.2, 0.3], num_particles=100).n_data_points)
        3
    """
    log_p, k_hat = (
        np.asarray(log_marginal, dtype=np.float64),
        np.asarray(pareto_k, dtype=np.float64),
    )
    if (
        log_p.ndim != 1
        or not log_p.size
        or log_p.shape != k_hat.shape
        or not np.isfinite(log_p).all()
    ):
        raise ValueError(
            "to_elpd: expected a finite log p(x) and a k-hat for each of one or more rows, got "
            f"shapes {log_p.shape} "
            f"and {k_hat.shape} with {np.sum(~np.isfinite(log_p))} numbers that are not finite; "
            "drop those rows"
        )
    elpd, se = float(log_p.sum()), float(np.sqrt(log_p.size * log_p.var()))
    limit = float(khat_limit(num_particles))
    doubtful = ~(k_hat <= limit) if untrusted is None else np.asarray(untrusted)
    counts = {
        "n_samples": num_particles,
        "n_data_points": log_p.size,
        "warning": bool(doubtful.any()),
    }
    shared = {"pareto_k": _by_row(k_hat, "pareto_k"), "scale": "log", "good_k": limit}
    arviz, each = _arviz(), _by_row(log_p, "elpd_i")
    if hasattr(arviz, "from_datatree"):
        return arviz.ELPDData(
            {"elpd_loo": elpd, "se": se, "p_loo": np.nan, **counts, "loo_i": each, **shared}
        )
    stats = importlib.import_module("arviz_stats")
    return stats.ELPDDataLOO(elpd=elpd, se=se, p=np.nan, **counts, elpd_i=each, **shared)


def write_netcdf(tree: Any, path: str | os.PathLike[str]) -> None:
    """Write a tree to one netCDF file, whole or not at all; numbers keep their type.

    References:
        NetCDF: an interface for scientific data access (Rew, Davis, 1990)

    Arguments:
        tree: What `to_datatree` returned: an `arviz.InferenceData` or an `xarray.DataTree`.
        path: The file; one of that name is replaced. `arviz.from_netcdf` reads it back.

    Raises:
        FileNotFoundError: When the folder does not exist.

    Example:
        >>> import tempfile
        >>> tree = to_datatree({"posterior": {"z": np.zeros((100, 5, 2))}})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_netcdf(tree, f"{folder}/codes.nc")
    """
    with written_whole(path) as temporary:
        tree.to_netcdf(str(temporary), engine="h5netcdf")


def _arviz() -> Any:
    """The installed ArviZ, without the notice that 0.23 gives once a day on import."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\s*ArviZ is undergoing", category=FutureWarning)
        return importlib.import_module("arviz")


def _check_groups(groups: Mapping[str, Mapping[str, npt.ArrayLike]]) -> None:
    unknown = sorted(set(groups) - set(_LEADING))
    if unknown:
        raise ValueError(
            f"groups: expected names out of {list(_LEADING)}, got {unknown}; rename or drop them"
        )
    empty = [group for group, found in groups.items() if not found]
    if empty or not groups:
        raise ValueError(
            f"groups: expected at least one array in each, got none in {empty or 'any'}; leave "
            "them out"
        )


def _check_attributes(attrs: Mapping[str, str | int | float]) -> None:
    for name, value in attrs.items():
        if isinstance(value, bool | np.bool) or not isinstance(
            value, str | int | float | np.number
        ):
            raise ValueError(
                f"attrs[{name!r}]: expected a string or a number, got {value!r} of type "
                f"{type(value).__name__}; write it as a string (json.dumps), or leave it out"
            )


def _label(group: str, name: str, array: Array) -> _Labelled:
    """Add the chain dimension and the names of all dimensions."""
    leading = _LEADING[group]
    given = [dim for dim in leading if dim != "chain"]
    trailing = _TRAILING.get(group, _data_dims(array.ndim - len(given)))
    if array.ndim != len(given) + len(trailing):
        raise ValueError(
            f"{group}[{name!r}]: expected shape ({', '.join([*given, *trailing])}), got "
            f"{array.shape}; leave out the chain, and keep the other dimensions even where they "
            "are 1"
        )
    return _Labelled(group, name, leading + trailing, array[None] if "chain" in leading else array)


def _data_dims(count: int) -> tuple[str, ...]:
    return ("feature",) if count <= 1 else tuple(f"feature_{i}" for i in range(count))


def _check_sizes(arrays: Sequence[_Labelled]) -> None:
    """Each dimension has one size everywhere, except that prior and posterior have draws of their
    own.
    """
    seen: dict[str, tuple[int, _Labelled]] = {}
    for labelled in arrays:
        draws = "draws of the prior" if labelled.group.startswith("prior") else "draws"
        data_dims = sum(dim.startswith("feature") for dim in labelled.dims)
        counted = {"number of data dimensions": data_dims} if data_dims else {}
        counted |= {draws if dim == "draw" else dim: size for dim, size in labelled.sizes.items()}
        for what, got in counted.items():
            expected, first = seen.setdefault(what, (got, labelled))
            if got != expected:
                raise ValueError(
                    f"{labelled}: expected {what} = {expected} as in {first}, got {got}; "
                    "pass arrays of the same rows, draws and columns"
                )


def _by_row(values: Array, name: str) -> Any:
    """One number a row as an `xarray.DataArray`."""
    import xarray as xr

    return xr.DataArray(values, {"observation": np.arange(len(values))}, ("observation",), name)


def _feature_names(arrays: Sequence[_Labelled], columns: Sequence[str]) -> list[str]:
    expected = next(
        (labelled.sizes["feature"] for labelled in arrays if "feature" in labelled.dims), None
    )
    if expected is None or len(columns) != expected or len(set(columns)) != expected:
        want = (
            "data with one dimension to name" if expected is None else f"{expected} different names"
        )
        raise ValueError(
            f"columns: expected {want}, got {len(columns)}: {list(columns)}; give one name a "
            "feature"
        )
    return [str(column) for column in columns]


def _dataset(arrays: Sequence[_Labelled], names: list[str] | None) -> Any:
    """One group, with integers from 0 for coordinates, or the names of the features."""
    import xarray as xr

    sizes = {dim: size for labelled in arrays for dim, size in labelled.sizes.items()}
    coords = {
        dim: names if names and dim == "feature" else np.arange(size) for dim, size in sizes.items()
    }
    return xr.Dataset(
        {labelled.name: (labelled.dims, labelled.array) for labelled in arrays}, coords=coords
    )
