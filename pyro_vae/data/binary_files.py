"""Binary files: .npy, .npz, .mat and IDX."""

import math
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format

from pyro_vae.data.stored import Contents, Fault, Stored, in_memory

Opener = Callable[..., Any]

IDX_TYPES = {
    0x08: ">u1",
    0x09: ">i1",
    0x0B: ">i2",
    0x0C: ">i4",
    0x0D: ">f4",
    0x0E: ">f8",
}
"""The third byte of an IDX file and the type of its values."""


def read_npy(path: Path) -> Contents:
    """A .npy file, whose array stays in the file as a read-only memory map."""
    with path.open("rb") as stream:
        shape, dtype = _npy_header(stream)
    open_map = partial(np.load, path, mmap_mode="r", allow_pickle=False)
    return Contents({"": Stored(shape, dtype, open_map)})


def _npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = npy_format.read_magic(stream)
    if version == (1, 0):
        shape, _, dtype = npy_format.read_array_header_1_0(stream)
    else:
        shape, _, dtype = npy_format.read_array_header_2_0(stream)
    return shape, dtype


def read_npz(path: Path) -> Contents:
    """The arrays of a .npz file."""

    def read(member: str) -> np.ndarray:
        with zipfile.ZipFile(path) as archive, archive.open(member) as stream:
            return npy_format.read_array(stream, allow_pickle=False)

    arrays: dict[str, Stored] = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            with archive.open(member) as stream:
                shape, dtype = _npy_header(stream)
            arrays[member.removesuffix(".npy")] = Stored(
                shape, dtype, partial(read, member)
            )
    return Contents(arrays)


def read_mat(path: Path) -> Contents:
    """The numeric arrays of a MATLAB file: version 7.3 is HDF5, older ones are read by SciPy."""
    import h5py

    arrays = _hdf5_arrays(path) if h5py.is_hdf5(path) else _mat5_arrays(path)
    numeric = {
        name: array for name, array in arrays.items() if array.dtype.kind in "buifc"
    }
    return Contents(numeric)


def _hdf5_arrays(path: Path) -> dict[str, Stored]:
    """MATLAB stores each array transposed."""
    import h5py

    def read(name: str) -> np.ndarray:
        with h5py.File(path) as file:
            return np.asarray(file[name][()].T)

    arrays: dict[str, Stored] = {}
    with h5py.File(path) as file:
        for name, dataset in file.items():
            is_text = dataset.attrs.get("MATLAB_class") == b"char"
            if hasattr(dataset, "dtype") and not is_text:
                shape = dataset.shape[::-1]
                arrays[name] = Stored(shape, dataset.dtype, partial(read, name))
    return arrays


def _mat5_arrays(path: Path) -> dict[str, Stored]:
    from scipy.io import loadmat

    arrays: dict[str, Stored] = {}
    for name, value in loadmat(path).items():
        dense = value.toarray() if hasattr(value, "toarray") else value
        if isinstance(dense, np.ndarray):
            arrays[name] = in_memory(dense)
    return arrays


def read_idx(path: Path, opener: Opener) -> Contents:
    """An IDX file, the format of MNIST: two zero bytes, type, number of axes, sizes, values."""
    with opener(path, "rb") as stream:
        magic = stream.read(4)
        content = stream.read()
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in IDX_TYPES:
        raise Fault(
            f"expected an IDX header, got the bytes {magic.hex(' ')}; check that the file is IDX"
        )
    dtype = np.dtype(IDX_TYPES[magic[2]])
    start = 4 * magic[3]
    shape = tuple(int(size) for size in np.frombuffer(content[:start], ">u4"))
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise Fault(
            f"expected {expected + 4} bytes for shape {shape}, got {len(content) + 4}; write it "
            "again"
        )
    values = np.frombuffer(content, dtype, offset=start)
    return Contents({"": in_memory(values.reshape(shape))})
