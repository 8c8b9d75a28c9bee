"""The table of products: the rate of each library that multiplies matrices here, by shape.

The three products of a layer are those of its values, x wᵀ, and of the gradients of its weights and
of its inputs, gᵀ x and g w. "rule" is what `pyro_vae.compiler.products` takes in compiled graphs.
"""

import statistics
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.speed.clock import by_mkl, seconds
from pyro_vae.compiler import products
from pyro_vae.compiler.products import by_onednn

SHAPES = (
    # rows of a batch, inputs, outputs
    (100, 64, 64),
    (100, 200, 200),
    (100, 784, 200),
    (100, 200, 784),
    (256, 784, 400),
    (1000, 200, 784),
    (1024, 1024, 1024),
)
SECONDS = 0.02
"""About the time of one measurement."""
NOMINAL_RATE = 1e11


def rates(left: Tensor, right: Tensor, rounds: int) -> tuple[float, float]:
    """GFLOP/s of both libraries, medians of rounds in which they take turns."""
    operations = 2 * left.shape[0] * left.shape[1] * right.shape[1]
    repeats = max(1, int(SECONDS * NOMINAL_RATE / operations))

    def rate(product: Callable[[Tensor, Tensor], Tensor]) -> float:
        def run() -> object:
            return [product(left, right) for _ in range(repeats)]

        return repeats * operations / seconds(run) / 1e9

    by_mkl(left, right)
    by_onednn(left, right)
    pairs = [(rate(by_mkl), rate(by_onednn)) for _ in range(rounds)]
    mkl, onednn = zip(*pairs, strict=True)
    return statistics.median(mkl), statistics.median(onednn)


def print_products(rounds: int) -> None:
    """Print GFLOP/s by shape, product and library."""
    rule = products.library()
    print(f"\nGFLOP/s of torch.mm and of oneDNN, float32; the rule takes {rule}")
    heading = ("rows x inputs x outputs", "values", "weights", "inputs")
    print(f"{heading[0]:<24}" + "".join(f"{name:>16}" for name in heading[1:]))
    for rows, inputs, outputs in SHAPES:
        x = torch.randn(rows, inputs)
        w = torch.randn(outputs, inputs)
        g = torch.randn(rows, outputs)
        cells = []
        for left, right in ((x, w.t()), (g.t(), x), (g, w)):
            mkl, onednn = rates(left, right, rounds)
            cells.append(f"{mkl:.0f} / {onednn:.0f}")
        name = f"{rows} x {inputs} x {outputs}"
        print(f"{name:<24}" + "".join(f"{cell:>16}" for cell in cells), flush=True)
