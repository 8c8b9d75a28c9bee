"""A tree as one netCDF file; this file never imports torch."""

import importlib.util
import os
from typing import Any

from pyro_vae.atomic_files import written_whole

__all__ = ["require_engine", "write_netcdf"]

_ENGINE = ("h5netcdf", "h5py")


def write_netcdf(tree: Any, path: str | os.PathLike[str]) -> None:
    """Write a tree to one netCDF file, whole or not at all; numbers keep their type.

    References:
        NetCDF: an interface for scientific data access (Rew, Davis, 1990)

    Arguments:
        tree: what `to_datatree` returned: an `arviz.InferenceData` or an `xarray.DataTree`.
        path: the file; one of that name is replaced. `arviz.from_netcdf` reads it back.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: h5netcdf or h5py is not installed, which ArviZ 1.x doesn't bring.

    Example:
        >>> import tempfile; import numpy as np
        >>> from pyro_vae.analysis.bridge.arviz_objects import to_datatree
        >>> tree = to_datatree({"posterior": {"z": np.zeros((100, 5, 2))}})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_netcdf(tree, f"{folder}/codes.nc")
    """
    require_engine()
    with written_whole(path) as temporary:
        tree = tree.to_datatree() if hasattr(tree, "to_datatree") else tree
        # HDF5 ends the process where a disk is full, and bytes in memory make an OSError of that
        temporary.write_bytes(tree.to_netcdf(engine="h5netcdf"))


def require_engine() -> None:
    """Raise ValueError where the packages that write netCDF are not installed."""
    lacking = [name for name in _ENGINE if importlib.util.find_spec(name) is None]
    if lacking:
        raise ValueError(
            f"write_netcdf: expected the packages {' and '.join(_ENGINE)}, which write netCDF, got "
            f"an installation without {' and '.join(lacking)}; pip install {' '.join(lacking)}"
        )
