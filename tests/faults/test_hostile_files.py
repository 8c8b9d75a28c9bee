"""Files of strangers: sizes that no file has, indices outside, nesting without end."""

import io
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pyro_vae.data import load
from pyro_vae.data.stored import Fault
from pyro_vae.data.untrusted import consistent
from pyro_vae.saving import write_model
from pyro_vae.spec import Spec
from pyro_vae.training import load as load_model
from tests.cli.command import pyro_vae
from tests.training.small import small


def npy(shape: tuple[int, ...], body: bytes = bytes(64)) -> bytes:
    """A .npy file with that shape in its header, whatever is in it."""
    header = repr({"descr": "<f8", "fortran_order": False, "shape": shape})
    header += " " * (63 - (len(header) + 10) % 64) + "\n"
    return (
        b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + body
    )


def zipped(method: int = zipfile.ZIP_DEFLATED, **members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return stream.getvalue()


def claimed(archive: bytes, size: int) -> bytes:
    """An archive of one member whose directory says that the member has so many bytes."""
    content = bytearray(archive)
    struct.pack_into("<I", content, archive.index(b"PK\x01\x02") + 24, size)
    return bytes(content)


def sparse(form: bytes, shape: tuple[int, int], **parts: list[int]) -> bytes:
    """What `scipy.sparse.save_npz` writes, with any indices."""
    stream = io.BytesIO()
    arrays = {name: np.array(values) for name, values in parts.items()}
    np.savez(stream, format=np.array(form), shape=np.array(shape), data=[1.0], **arrays)
    return stream.getvalue()


IDX = struct.pack(">BBBBIII", 0, 0, 8, 3, 2**31, 2**20, 2**20)
COORDINATES = (
    b"%%MatrixMarket matrix coordinate real general\n1000000000000 9 1\n1 1 1.0\n"
)
DATA = {
    "huge.npy": (npy((10**12, 4)), "expected a complete file"),
    "header.npy": (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}", "expected a complete file"),
    "none.npy": (npy((0, 4)), "expected an array of at least one row"),
    "v4.mat": (
        struct.pack("<iiiii", 0, 2**30, 2**30, 0, 2) + b"x\0",
        "expected a complete file",
    ),
    "lines.mtx": (
        b"%%MatrixMarket matrix array real general\n100000000 1000\n1\n",
        "expected 100000000000 lines",
    ),
    "negative.npy": (npy((-1, 4)), "expected a complete file"),
    "huge.npz": (
        zipped(x=npy((10**12, 4))),
        "expected 32000000000000 bytes in the member 'x.npy', got at most 192",
    ),
    "bomb.npz": (
        claimed(zipped(x=npy((10**6, 4))), 4 * 10**9),
        "expected 32000000 bytes in the member 'x.npy', got at most [1-9][0-9]{4,5};",
    ),
    "lzma.npz": (
        claimed(zipped(zipfile.ZIP_LZMA, x=npy((10**6, 4))), 4 * 10**9),
        "expected 32000000 bytes in the member 'x.npy', got at most 64;",
    ),
    "huge-ubyte": (IDX + bytes(9), "expected .* bytes for shape"),
    "axes-ubyte": (struct.pack(">BBBB", 0, 0, 8, 255), "expected at most 32 axes"),
    "empty.npz": (
        sparse(b"coo", (10**11, 3), row=[1], col=[1]),
        "expected a sparse matrix with more entries, got 100000000000 rows",
    ),
    "empty.mtx": (COORDINATES, "expected a sparse matrix with more entries"),
}


@pytest.mark.parametrize("name", DATA)
def test_data_of_strangers_are_refused(name: str, tmp_path: Path) -> None:
    content, message = DATA[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}: .*{message}") as error:
        load(tmp_path / name)
    assert len(str(error.value)) < 2000


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_file_that_is_packed_denser_than_deflate_can_is_read(
    method: int, tmp_path: Path
) -> None:
    expected = np.zeros((40_000, 4))
    stream = io.BytesIO()
    np.save(stream, expected)
    content = zipped(method, x=stream.getvalue())
    assert len(content) < expected.nbytes / 1032
    (tmp_path / "x.npz").write_bytes(content)
    np.testing.assert_array_equal(load(tmp_path / "x.npz"), expected)


class Inconsistent:
    """Stands in for a sparse matrix whose full check fails."""

    format = "csr"
    shape = (3, 4)
    nnz = 1

    def check_format(self, full_check: bool) -> None:
        if full_check:
            raise ValueError("column index values must be < 4")


def test_the_indices_of_sparse_files_are_checked_in_full() -> None:
    """Without its full check SciPy trusts them."""
    with pytest.raises(Fault, match="indices lie inside it, got: column index values"):
        consistent(Inconsistent())


RANGE = {"kind": "mixed", "columns": [{"columns": "0:3000000000", "kind": "normal"}]}
DESCRIPTIONS = {
    "deep.json": (
        '{"a":' * 900 + "1" + "}" * 900,
        "at most 64 tables and lists inside",
    ),
    "deeper.json": ("[" * 10**5 + "]" * 10**5, "at most 64 tables and lists inside"),
    "deep.toml": ("a=" + "[" * 5000 + "]" * 5000, "at most 64 tables and lists inside"),
    "range.json": (json.dumps({"likelihood": RANGE}), "at most 1000000 columns"),
    "keys.json": (
        json.dumps({f"unknown{i}": 1 for i in range(10_000)}),
        "and 9994 fields more",
    ),
    "key.json": (json.dumps({"k" * 10**6: 1}), "unknown field"),
    "value.json": (json.dumps({"activation": "k" * 10**6}), "unknown activation"),
    "kinds.json": (
        json.dumps({"columns": {"a": {"kind": [1]}}}),
        "column 'a': unknown kind [1]",
    ),
    "layers.json": (json.dumps({"hidden_dims": [1] * 10**5}), "at most 1000 items"),
}


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_descriptions_of_strangers_are_refused_in_two_kilobytes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text, message = DESCRIPTIONS[name]
    Path(name).write_text(text)
    done = pyro_vae("fit", name, "--output", "run")
    assert (done.status, message in done.err) == (2, True), done.err[:300]
    assert len(done.err) < 2100
    assert not Path("run").exists()


def test_a_model_that_its_weights_cannot_be_is_not_made(tmp_path: Path) -> None:
    """Its description says a million units, and its file has some hundred numbers."""
    vae = small()
    vae.spec = Spec(data_shape=(4,), latent_dim=2, hidden_dims=(10**9, 10**9))
    folder = write_model(vae, tmp_path / "run")
    with pytest.raises(
        ValueError, match=r"safetensors: damaged, .* at least 1000000006000000000"
    ):
        load_model(folder)
