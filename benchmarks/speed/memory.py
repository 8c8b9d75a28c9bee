"""The most memory that log p(x) takes, on Linux: `python -m benchmarks.speed.memory SIZE DRAWS
ROWS` prints MiB.
"""

import re
import sys
from pathlib import Path

import torch

from benchmarks.speed.sizes import SIZES
from pyro_vae import evidence

PROCESS = Path("/proc/self")


def resident(kind: str) -> int:
    """KiB of this process: VmRSS now, VmHWM at most so far."""
    found = re.search(rf"{kind}:\s*(\d+)", (PROCESS / "status").read_text())
    assert found
    return int(found[1])


def main(name: str, draws: str, rows: str) -> None:
    torch.set_num_threads(1)
    vae, x = SIZES[name].vae(), SIZES[name].rows()[: int(rows)]
    evidence(vae, x[:1], num_particles=1)  # what is loaded at the first call
    (PROCESS / "clear_refs").write_text("5")  # the most so far is what is there now
    before = resident("VmRSS")
    evidence(vae, x, num_particles=int(draws), compile="off", method="importance")
    print(round((resident("VmHWM") - before) / 1024))


if __name__ == "__main__":
    main(*sys.argv[1:]) if PROCESS.exists() else print("-")
