"""A file larger than the memory that a process may take is fitted, read piece by piece."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
ROWS, WIDTH = 2**18, 1024
FIT = """
import resource, sys
import numpy as np
import pyro_vae as pv

vae = pv.VAE(data_shape=(1024,), latent_dim=2, hidden_dims=(8,))
pv.fit(vae, np.zeros((64, 1024), np.float32), epochs=1, validation=None, device="cpu")  # all is imported by now
taken = int(next(line for line in open("/proc/self/status") if line.startswith("VmData")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (taken + 2**29, taken + 2**29))
x = np.load(sys.argv[1], mmap_mode="r")
try:
    x + 0
    sys.exit("the limit does not hold")
except MemoryError:
    pass
vae = pv.VAE(data_shape=(1024,), latent_dim=2, hidden_dims=(8,))
run = pv.fit(vae, x, epochs=1, batch_size=512, validation=0.01, device="cpu")
print(run.history[0]["loss"])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits of a process as Linux has them")
def test_a_file_larger_than_memory_is_fitted(tmp_path):
    """1 GB of float32 (a sparse file) in a process that may take half a GB more than it has when all is imported.

    The limit is on memory of its own: pages of the file, which the kernel drops when it needs room, don't count.
    """
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (ROWS, WIDTH))
    x[:: ROWS // 8] = 1.0
    del x
    done = subprocess.run(
        [sys.executable, "-c", FIT, tmp_path / "x.npy"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert np.isfinite(float(done.stdout))
