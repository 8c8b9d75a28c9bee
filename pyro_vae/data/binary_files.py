"""Binary files: .npy, .npz and IDX."""

import math
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format

from pyro_vae.data.sparse_files import is_sparse_npz, sparse_npz
from pyro_vae.data.stored import Contents, Fault, Stored, in_memory
from pyro_vae.data.untrusted import require_member

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
MOST_AXES = 32


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
    """The arrays of a .npz file, or the sparse matrix that `scipy.sparse.save_npz` wrote."""

    def read(member: str) -> np.ndarray:
        with zipfile.ZipFile(path) as archive, archive.open(member) as stream:
            return npy_format.read_array(stream, allow_pickle=False)

    arrays: dict[str, Stored] = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            with archive.open(member) as stream:
                shape, dtype = _npy_header(stream)
                needed = 0 if dtype.hasobject else math.prod(shape) * dtype.itemsize
                require_member(archive.getinfo(member), stream, needed)
            arrays[member.removesuffix(".npy")] = Stored(
                shape, dtype, partial(read, member)
            )
    if is_sparse_npz(arrays):
        return sparse_npz(path, arrays["data"].dtype)
    return Contents(arrays)


def read_idx(path: Path, opener: Opener) -> Contents:
    """An IDX file, the format of MNIST: two zero bytes, type, number of axes, sizes, values."""
    with opener(path, "rb") as stream:
        magic = stream.read(4)
        content = stream.read()
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in IDX_TYPES:
        raise Fault(
            f"expected an IDX header, got the bytes {magic.hex(' ')}; check that the file is IDX"
        )
    if magic[3] > MOST_AXES:
        raise Fault(
            f"expected at most {MOST_AXES} axes, got {magic[3]}; check that the file is IDX"
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
