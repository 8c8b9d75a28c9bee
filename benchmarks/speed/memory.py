"""Peak memory of log p(x) in MiB, on Linux: `python -m benchmarks.speed.memory SIZE DRAWS ROWS`."""

import re
import sys
from pathlib import Path

import torch

from benchmarks.speed.sizes import SIZES
from pyro_vae import evidence

PROCESS = Path("/proc/self")


def resident(kind: str) -> int:
    """KiB of this process: VmRSS is the memory in use, VmHWM its peak."""
    match = re.search(rf"{kind}:\s*(\d+)", (PROCESS / "status").read_text())
    assert match
    return int(match[1])


def main(name: str, draws: str, rows: str) -> None:
    torch.set_num_threads(1)
    size = SIZES[name]
    vae = size.vae()
    x = size.rows()[: int(rows)]
    evidence(
        vae, x[:1], num_particles=1
    )  # loads the libraries that the first call needs
    (PROCESS / "clear_refs").write_text("5")  # resets the peak to the memory in use
    before = resident("VmRSS")
    evidence(vae, x, num_particles=int(draws), compile="off", method="importance")
    print(round((resident("VmHWM") - before) / 1024))


if __name__ == "__main__":
    main(*sys.argv[1:]) if PROCESS.exists() else print("-")
