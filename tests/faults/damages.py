"""Small files of the formats that this library reads without a parser in C, and damages of them."""

import gzip
import io
import struct
from collections.abc import Callable

import numpy as np
import pandas as pd
import scipy.sparse
from scipy.io import mmwrite

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(12, 4)).round(3)
BITS = RNG.integers(0, 2, size=(12, 4)).astype(np.uint8)
FRAME = pd.DataFrame(ROWS, columns=["a", "b b", "c", "d"])
MIXED = FRAME.assign(kind=list("xyz") * 4, day=pd.date_range("2020-01-01", periods=12))


def stream_of(write: Callable[[io.BytesIO], object]) -> bytes:
    """What a function writes to a stream."""
    stream = io.BytesIO()
    write(stream)
    return stream.getvalue()


def text(separator: str = ",", **options: object) -> bytes:
    """A table as text."""
    found: str = MIXED.to_csv(index=False, sep=separator, **options)
    return found.encode()


def idx(array: np.ndarray) -> bytes:
    """An array of bytes as the digits of MNIST are stored."""
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return struct.pack(">BBBB", 0, 0, 8, array.ndim) + sizes + array.tobytes()


ARFF = (
    "@relation r\n@attribute a numeric\n@attribute k {x,y}\n@data\n"
    + "".join(f"{one:.2f},{'xy'[n % 2]}\n" for n, one in enumerate(ROWS[:, 0]))
).encode()
SEEDS: dict[str, bytes] = {
    "f8.npy": stream_of(lambda to: np.save(to, ROWS)),
    "bool.npy": stream_of(lambda to: np.save(to, BITS.astype(bool))),
    "two.npz": stream_of(lambda to: np.savez(to, train=ROWS, test=ROWS[:3])),
    "small.npz": stream_of(lambda to: np.savez_compressed(to, x=ROWS)),
    "sparse.npz": stream_of(
        lambda to: scipy.sparse.save_npz(to, scipy.sparse.csr_array(BITS))
    ),
    "images-idx3-ubyte": idx(BITS.reshape(12, 2, 2)),
    "images.idx": idx(BITS),
    "images-ubyte.gz": gzip.compress(idx(BITS), mtime=0),
    "dense.mtx": stream_of(lambda to: mmwrite(to, ROWS)),
    "sparse.mtx": stream_of(lambda to: mmwrite(to, scipy.sparse.coo_array(BITS))),
    "table.csv": text(),
    "table.tsv": text("\t"),
    "german.csv": text(";", decimal=","),
    "numbers.txt": stream_of(lambda to: np.savetxt(to, ROWS)),
    "bits.amat": stream_of(lambda to: np.savetxt(to, BITS, fmt="%d")),
    "table.csv.gz": gzip.compress(text(), mtime=0),
    "table.arff": ARFF,
    "table.json": FRAME.to_json(orient="records").encode(),
    "lines.jsonl": FRAME.to_json(orient="records", lines=True).encode(),
    "table.xlsx": stream_of(lambda to: FRAME.to_excel(to, index=False)),
    "table.dta": stream_of(lambda to: FRAME.to_stata(to, write_index=False)),
}
CHARACTERS = b"0123456789eE.,-+;:\"'\n\r\t nNaA{}[]%@\x00\xff"


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
