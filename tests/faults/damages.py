"""Small files of the formats that this library reads without a parser in C, and damages of them."""

import gzip
import io
import struct
from collections.abc import Callable

import numpy as np
import pandas as pd
import scipy.sparse
from scipy.io import mmwrite

CHARACTERS = b"0123456789eE.,-+;:\"'\n\r\t nNaA{}[]%@\x00\xff"


def stream_of(write: Callable[[io.BytesIO], object]) -> bytes:
    """What a function writes to a stream."""
    stream = io.BytesIO()
    write(stream)
    return stream.getvalue()


def idx(array: np.ndarray) -> bytes:
    """An array of bytes as the digits of MNIST are stored."""
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return struct.pack(">BBBB", 0, 0, 8, array.ndim) + sizes + array.tobytes()


def arff(numbers: np.ndarray) -> bytes:
    """A column of numbers and one of two levels."""
    head = "@relation r\n@attribute a numeric\n@attribute k {x,y}\n@data\n"
    lines = (f"{one:.2f},{'xy'[n % 2]}\n" for n, one in enumerate(numbers))
    return f"{head}{''.join(lines)}".encode()


def whole_files() -> dict[str, bytes]:
    """A file of each format by its name."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(12, 4)).round(3)
    bits = rng.integers(0, 2, size=(12, 4)).astype(np.uint8)
    return {**_arrays(rows, bits), **_tables(rows, bits)}


def _arrays(rows: np.ndarray, bits: np.ndarray) -> dict[str, bytes]:
    sparse = scipy.sparse.csr_array(bits)
    return {
        "f8.npy": stream_of(lambda to: np.save(to, rows)),
        "bool.npy": stream_of(lambda to: np.save(to, bits.astype(bool))),
        "two.npz": stream_of(lambda to: np.savez(to, train=rows, test=rows[:3])),
        "small.npz": stream_of(lambda to: np.savez_compressed(to, x=rows)),
        "sparse.npz": stream_of(lambda to: scipy.sparse.save_npz(to, sparse)),
        "images-idx3-ubyte": idx(bits.reshape(12, 2, 2)),
        "images.idx": idx(bits),
        "images-ubyte.gz": gzip.compress(idx(bits), mtime=0),
        "dense.mtx": stream_of(lambda to: mmwrite(to, rows)),
        "sparse.mtx": stream_of(lambda to: mmwrite(to, sparse.tocoo())),
    }


def _tables(rows: np.ndarray, bits: np.ndarray) -> dict[str, bytes]:
    frame = pd.DataFrame(rows, columns=["a", "b b", "c", "d"])
    short = frame.rename(columns={"b b": "b"})
    days = pd.date_range("2020-01-01", periods=12)
    mixed = frame.assign(kind=list("xyz") * 4, day=days)
    text = mixed.to_csv(index=False).encode()
    return {
        "table.csv": text,
        "table.tsv": mixed.to_csv(index=False, sep="\t").encode(),
        "german.csv": mixed.to_csv(index=False, sep=";", decimal=",").encode(),
        "numbers.txt": stream_of(lambda to: np.savetxt(to, rows)),
        "bits.amat": stream_of(lambda to: np.savetxt(to, bits, fmt="%d")),
        "table.csv.gz": gzip.compress(text, mtime=0),
        "table.arff": arff(rows[:, 0]),
        "table.json": frame.to_json(orient="records").encode(),
        "lines.jsonl": frame.to_json(orient="records", lines=True).encode(),
        "table.xlsx": stream_of(lambda to: frame.to_excel(to, index=False)),
        "table.dta": stream_of(lambda to: short.to_stata(to, write_index=False)),
    }


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """The bytes with one kind of damage."""
    changed = bytearray(content)
    place = int(rng.integers(len(content)))
    length = int(rng.integers(1, 40))
    kind = rng.integers(7)
    if kind == 0:
        changed = changed[:place]
    elif kind == 1:
        changed[place : place + length] = bytes(len(changed[place : place + length]))
    elif kind == 2:
        changed[place:place] = rng.bytes(length)
    elif kind == 3:
        changed[place:place] = changed[place : place + 3 * length]
    elif kind == 4:
        del changed[place : place + length]
    else:
        near = min(len(content), 200) if kind == 5 else len(content)
        for _ in range(int(rng.integers(1, 12))):
            at = int(rng.integers(near))
            if rng.integers(2):
                changed[at] ^= 1 << int(rng.integers(8))
            else:
                changed[at] = CHARACTERS[int(rng.integers(len(CHARACTERS)))]
    return bytes(changed)
