"""Steps and log p(x) on a GPU, in absolute times, beside hand-written PyTorch and Pyro's SVI.

    python -m benchmarks.speed.gpu                         # with the tests that need a GPU
    python -m benchmarks.speed.gpu --device cpu --quick    # whether the script runs

Times of steps are medians over epochs of the same batches, after one that compiles; the device is
waited for at both ends. log p(x) is importance sampling from the guide; its share of the device's
rate is that of the decoder's matrix products, relative to products of large matrices in float32.
The script has run on a processor only.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pyro
import torch
from torch import Tensor

from benchmarks.speed import by_hand, ours
from benchmarks.speed.clock import Run, operations
from benchmarks.speed.log_marginal import job
from benchmarks.speed.sizes import SIZES, Size
from benchmarks.speed.with_pyro import by_svi

LARGE = 4096
"""Rows of a large batch, and rows and columns of the matrices that measure the device's rate."""
SIZES_OF_GPU = {
    "M": SIZES["M"],
    f"M, batch {LARGE}": replace(SIZES["M"], batch_size=LARGE),
    "L": SIZES["L"],
    f"L, batch {LARGE}": replace(SIZES["L"], batch_size=LARGE),
}
DRAWS = 5000


def contestants(size: Size, device: torch.device) -> Mapping[str, Run]:
    """Epochs of one batch again and again; ours cut theirs from rows on the device."""
    x = replace(size, steps=1).rows().to(device)

    def batches() -> Iterator[Tensor]:
        yield from [x] * size.steps

    with device:  # where nets are made
        plain = by_hand.HandWritten(size)
        compiled = by_hand.HandWritten(size)
        svi = by_svi(size, batches)
    return {
        "by hand": by_hand.train(plain, plain, batches),
        "compiled": by_hand.train(compiled, torch.compile(compiled), batches),
        "SVI": svi,
        "ours, eager": ours.train(size.vae(), "off", size, device=device),
        "ours, replayed": ours.train(size.vae(), "step", size, device=device),
    }


def median_seconds(run: Run, device: torch.device, rounds: int) -> float:
    """The median time of a run, after one that warms up and compiles."""
    run()
    found = []
    for _ in range(rounds):
        _wait(device)
        began = time.perf_counter()
        run()
        _wait(device)
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def _wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def print_steps(device: torch.device, rounds: int, steps: int | None) -> None:
    """Milliseconds of a step by size; `steps` makes epochs shorter."""
    print("\nmilliseconds a step")
    for name, size in SIZES_OF_GPU.items():
        shorter = replace(size, steps=steps or size.steps)
        for who, run in contestants(shorter, device).items():
            seconds = median_seconds(run, device, rounds) / shorter.steps
            print(f"{name:<16}{who:<16}{1e3 * seconds:>10.3f}", flush=True)


def print_evidence(device: torch.device, rows: int, draws: int, side: int) -> None:
    """Rows a second, and the share of the device's rate."""
    size = SIZES["M"]
    vae = size.vae().to(device)
    x = size.rows()[:rows]
    left, right = torch.rand(2, side, side, device=device)
    rate = 2 * side**3 / median_seconds(lambda: left @ right, device, rounds=9)
    one_draw = operations(lambda: vae.likelihood(left.new_zeros(1, size.latent_dim)))
    print(f"\nproducts of {side} x {side}: {rate / 1e12:.2f} TFLOP/s in float32")
    print(f"log p(x) of {rows} rows, {draws} draws")
    seconds = median_seconds(job(vae, x, draws, "on"), device, rounds=1)
    share = rows * draws * one_draw / seconds / rate
    print(f"{rows / seconds:.1f} rows a second, {share:.1%} of the rate", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the tests that need a GPU, and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="small numbers, no tests")
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    if device.type == "cuda":
        print(torch.cuda.get_device_name(device), torch.__version__, flush=True)
    if not options.quick:
        tests = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-m", "gpu"]
        subprocess.run(tests, check=False)
    with pyro.validation_enabled(False):
        print_steps(device, *((1, 1) if options.quick else (9, None)))
    print_evidence(device, *((4, 50, 256) if options.quick else (1000, DRAWS, LARGE)))
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device) / 2**20
        print(f"\npeak memory of the device: {peak:.0f} MiB")


if __name__ == "__main__":
    main()
