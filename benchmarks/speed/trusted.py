"""Evidence by default on MNIST, beside importance sampling from the guide alone.

    python -m benchmarks.speed.trusted binarized_mnist.npz                 # some minutes
    python -m benchmarks.speed.trusted binarized_mnist.npz --net gated --rows 200 --compile off

A few epochs of training make a guide that is as wrong as guides are. Then both take turns on the
same test rows with 1000 draws, one thread, and the clock is processor time. A second is that of a
row: the time of many rows less that of 32, which holds what is done once. In the last columns
k-hat is above its limit, and rows were looked at again.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.speed.__main__ import processor
from benchmarks.speed.clock import ratio, seconds
from benchmarks.speed.sizes import SIZES
from pyro_vae import VAE, evidence, fit
from pyro_vae.analysis import Evidence
from pyro_vae.data import load_splits

GATED: dict[str, Any] = {
    "data_shape": (784,),
    "latent_dim": 40,
    "likelihood": "bernoulli",
    "encoder": {"kind": "gated_mlp", "hidden_dims": (300, 300)},
    "decoder": {"kind": "gated_mlp", "hidden_dims": (300, 300)},
    "standardize": "all",
}
"""The net of the tables of priors."""
FEW = 32
"""Rows of the call that is taken off."""
HOW: dict[str, dict[str, Any]] = {
    "guide": {"method": "importance"},
    "default": {},
}
HEADER = (
    f"{'':<10}{'ms a row':>10}{'to the guide':>14}{'quartiles':>13}{'log p(x)':>13}"
    f"{'se':>8}{'ess':>7}{'untrusted':>11}{'again':>8}"
)


def fitted(net: str, x: np.ndarray, epochs: int) -> VAE:
    """The net M of the other tables, or the gated one."""
    vae = SIZES["M"].vae() if net == "M" else VAE(**GATED)
    fit(vae, x, epochs=epochs, batch_size=250, lr=2e-3, seed=0, progress=False)
    return vae


def seconds_of_a_row(
    call: Callable[[np.ndarray], Evidence], x: np.ndarray
) -> tuple[float, Evidence]:
    """Of the rows beyond the first few, and the answer."""
    answers: list[Evidence] = []
    once = seconds(lambda: call(x[:FEW]))
    every = seconds(lambda: answers.append(call(x)))
    return (every - once) / (len(x) - FEW), answers[0]


def print_table(vae: VAE, x: np.ndarray, rounds: int, mode: str) -> None:
    """A line for each of the two."""

    def call(name: str) -> Callable[[np.ndarray], Evidence]:
        return lambda rows: evidence(
            vae, rows, compile=mode, progress=False, **HOW[name]
        )

    for name in HOW:
        call(name)(x[:FEW])
    found: dict[str, Evidence] = {}
    times: dict[str, list[float]] = {name: [] for name in HOW}
    for _ in range(rounds):
        for name in HOW:
            time, found[name] = seconds_of_a_row(call(name), x)
            times[name].append(time)
    print(HEADER)
    for name, own in times.items():
        milliseconds = 1000 * statistics.median(own)
        compared = ratio(own, times["guide"])
        one = found[name]
        cells = (
            f"{one.log_marginal.mean():>13.2f}{one.se.mean():>8.3f}"
            f"{np.median(one.ess):>7.0f}{1 - one.trusted.mean():>11.1%}"
            f"{one.retried.mean():>8.1%}"
        )
        print(f"{name:<10}{milliseconds:>10.2f}{'':>6}{compared}{cells}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="a file of binary MNIST: .npz, .mat or .amat")
    parser.add_argument("--net", choices=("M", "gated"), default="M")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", choices=("on", "off"), default="on")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    splits = load_splits(options.data, packed_bits=True)
    assert splits.test is not None
    order = np.random.default_rng(0).permutation(len(splits.test))
    rows = splits.test[order[: FEW + options.rows]]
    vae = fitted(options.net, splits.train, options.epochs)
    print(
        f"{processor()}, net {options.net}, {options.rows} rows, compile={options.compile}"
    )
    print_table(vae, rows, options.rounds, options.compile)


if __name__ == "__main__":
    main()
