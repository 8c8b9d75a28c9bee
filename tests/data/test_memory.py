"""Memory of a fit from a file: rows are read in parts, and it doesn't grow with the file.

Own memory is what belongs to no file: pages of the file, which the kernel drops when it needs room,
don't count. Blocks above 1 MB go back to the system when they are freed; by default glibc keeps
some, up to 64 MB at a time.
"""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pyro_vae.data.arrays import LARGEST
from pyro_vae.training import fit
from pyro_vae.vae import VAE
from tests.watched import Watched

ROOT = Path(__file__).resolve().parents[2]
MB = 2**20
GIVEN_BACK = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "1000000",
    "MALLOC_TRIM_THRESHOLD_": "1000000",
}
linux = pytest.mark.skipif(
    sys.platform != "linux", reason="limits of a process as Linux has them"
)


def sparse(path, rows, width, dtype=np.float32):
    """A file of zeros with a few rows of ones, which takes little of the disk."""
    x = np.lib.format.open_memmap(path, "w+", dtype, (int(rows), width))
    x[:: rows // 8] = 1
    return path


def run(code, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            **GIVEN_BACK,
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return np.array(done.stdout.split(), float)


@pytest.mark.slow
@pytest.mark.parametrize("validation", [None, 0.1])
def test_wide_rows_are_read_in_pieces_no_larger_than_those_of_narrow_ones(
    validation, tmp_path
):
    x = np.load(sparse(tmp_path / "x.npy", 700, 2**14, np.uint8), mmap_mode="r").view(
        Watched
    )
    vae, Watched.asked = (
        VAE(
            data_shape=(2**14,), latent_dim=2, hidden_dims=(2,), likelihood="bernoulli"
        ),
        [],
    )
    fit(vae, x, epochs=1, batch_size=64, validation=validation, device="cpu")
    assert LARGEST // 2 < max(math.prod(shape) for shape in Watched.asked) <= LARGEST


LIMITED = """
import resource, sys
import numpy as np
import pyro_vae as pv

def fitted(x):
    vae = pv.VAE(data_shape=x.shape[1:], latent_dim=2, hidden_dims=(8,))
    return pv.fit(vae, x, epochs=1, batch_size=64, validation=0.01, device="cpu").history[0]["loss"]

x = np.load(sys.argv[1], mmap_mode="r")
fitted(np.zeros((64, *x.shape[1:]), np.float32))  # all is imported by now
status = open("/proc/self/status").read().splitlines()
taken = int(next(line for line in status if line.startswith("VmData")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (taken + 2**28, taken + 2**28))
try:
    x + 0
    sys.exit("the limit does not hold")
except MemoryError:
    pass
print(fitted(x))
"""


@linux
@pytest.mark.slow
@pytest.mark.parametrize("width", [1024, 2**14])
def test_a_file_larger_than_memory_is_fitted(width, tmp_path):
    """512 MB of float32 in a process that may allocate 256 MB after all is imported."""
    loss = run(LIMITED, sparse(tmp_path / "x.npy", 128 * MB // width, width))
    assert np.isfinite(loss).all()


PEAKS = """
import sys, threading
import numpy as np
import pyro_vae as pv

def own():
    status = open("/proc/self/status").read().splitlines()
    return int(next(line for line in status if line.startswith("RssAnon")).split()[1]) * 1024

def peak(x):
    vae = pv.VAE(data_shape=x.shape[1:], latent_dim=2, hidden_dims=(8,))
    seen, done = [own()], threading.Event()
    def sample():
        while not done.wait(0.001):
            seen.append(own())

    watch = threading.Thread(target=sample)
    watch.start()
    pv.fit(vae, x, epochs=1, batch_size=512, validation=0.01, device="cpu")
    done.set()
    watch.join()
    return max(seen) - seen[0]

for path in (sys.argv[1], *sys.argv[1:]):  # at the first time all is imported
    print(peak(np.load(path, mmap_mode="r")))
"""


@linux
@pytest.mark.slow
@pytest.mark.parametrize("width", [64, 2**12])
def test_own_memory_does_not_grow_with_the_file_but_for_the_order_of_its_rows(
    width, tmp_path
):
    """A file of 64 MB and one of 512 MB; the order of an epoch takes some 12 bytes a row."""
    sizes = np.array([64, 512]) * MB // (4 * width)
    _, *peaks = run(
        PEAKS, *(sparse(tmp_path / f"{rows}.npy", rows, width) for rows in sizes)
    )
    assert peaks[1] < peaks[0] + 16 * sizes[1] + 16 * MB
    assert peaks[1] < 200 * MB


SPARSE = """
import resource, sys
import numpy as np
import scipy.sparse
import pyro_vae as pv

def counts(rows, width):
    stored = 4 * rows
    places = np.repeat(np.arange(rows), 4), np.arange(stored) * 7919 % width
    values = 1 + np.arange(stored, dtype=np.float32) % 3
    return scipy.sparse.csr_matrix((values, places), (rows, width))

def fitted(x):
    few = {"latent_dim": 2, "hidden_dims": (4,), "likelihood": "poisson"}
    vae = pv.VAE(data_shape=x.shape[1:], **few)
    run = pv.fit(vae, x, epochs=1, batch_size=512, validation=0.01, device="cpu")
    return run.history[0]["loss"]

fitted(counts(600, 2048))  # all is imported by now
x = counts(2**17, 2048)
status = open("/proc/self/status").read().splitlines()
taken = int(next(line for line in status if line.startswith("VmData")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (taken + 2**28, taken + 2**28))
try:
    x.toarray()
    sys.exit("the limit does not hold")
except MemoryError:
    pass
print(fitted(x))
"""


@linux
@pytest.mark.slow
def test_sparse_rows_are_fitted_that_would_be_larger_than_memory_as_dense_ones():
    """1 GiB of float32, with 4 numbers in a row, in 256 MB after all is imported."""
    assert np.isfinite(run(SPARSE)).all()
