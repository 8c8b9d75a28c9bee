"""Steps and log p(x) on a GPU, in absolute times, beside hand-written PyTorch and Pyro's SVI.

    python -m benchmarks.gpu                         # with the tests that need a GPU: ten minutes
    python -m benchmarks.gpu --device cpu --quick    # whether the script runs

Times of steps are medians over rounds of a hundred steps, after one that compiles; the device is
waited for at both ends. log p(x) is importance sampling from the guide; its share of the device's
rate is that of the decoder's matrix products, relative to products of large matrices in float32.
The script has run on a processor only.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import pairwise

import pyro
import torch
from pyro.distributions import Bernoulli, Normal
from pyro.infer import SVI, Trace_ELBO
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from pyro_vae import VAE, evidence
from pyro_vae.objectives import ELBO
from pyro_vae.training import CompiledStep, State
from pyro_vae.training.train_step import step

SIZES = {
    # widths of the encoder before z, latent variables, rows in a batch
    "M": ((784, 200, 200), 50, 100),
    "M, batch 4096": ((784, 200, 200), 50, 4096),
    "L": ((784, 400), 20, 256),
    "L, batch 4096": ((784, 400), 20, 4096),
}
STEPS = 100
DRAWS = 5000
SIDE = 4096
"""Rows and columns of the matrices that measure the rate of the device."""
Step = Callable[[], object]


def layers(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers with tanh between them."""
    pairs = list(pairwise(widths))
    each = [module for pair in pairs for module in (nn.Linear(*pair), nn.Tanh())]
    return nn.Sequential(*each[:-1])


class HandWritten(nn.Module):
    """x -> the mean over the rows of the negative ELBO."""

    def __init__(self, widths: Sequence[int], latent_dim: int) -> None:
        super().__init__()
        self.encoder = layers([*widths, 2 * latent_dim])
        self.decoder = layers([latent_dim, *reversed(widths)])

    def forward(self, x: Tensor) -> Tensor:
        loc, raw_scale = self.encoder(x).chunk(2, -1)
        scale = softplus(raw_scale) + 1e-4
        z = loc + scale * torch.randn_like(loc)
        logits = self.decoder(z)
        distortion = binary_cross_entropy_with_logits(logits, x, reduction="none")
        rate = 0.5 * (scale.square() + loc.square() - 1 - 2 * scale.log())
        return (distortion.sum(-1) + rate.sum(-1)).mean()

    def model(self, x: Tensor) -> None:
        pyro.module("decoder", self.decoder)
        with pyro.plate("data", len(x)):
            loc = x.new_zeros(len(x), self.decoder[0].in_features)
            z = pyro.sample("z", Normal(loc, torch.ones_like(loc)).to_event(1))
            pyro.sample("x", Bernoulli(logits=self.decoder(z)).to_event(1), obs=x)

    def guide(self, x: Tensor) -> None:
        pyro.module("encoder", self.encoder)
        with pyro.plate("data", len(x)):
            loc, raw_scale = self.encoder(x).chunk(2, -1)
            pyro.sample("z", Normal(loc, softplus(raw_scale) + 1e-4).to_event(1))


def by_hand(loss: HandWritten, program: Callable[[Tensor], Tensor], x: Tensor) -> Step:
    """A step of hand-written PyTorch; `program` computes the loss of the module."""
    optimizer = torch.optim.Adam(loss.parameters(), fused=True)

    def one() -> None:
        value = program(x)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()

    return one


def by_svi(loss: HandWritten, x: Tensor) -> Step:
    """A step of Pyro."""
    pyro.clear_param_store()
    adam = pyro.optim.Adam({"lr": 1e-3})
    svi = SVI(loss.model, loss.guide, adam, Trace_ELBO())
    return lambda: svi.step(x)


def ours(vae: VAE, x: Tensor, is_compiled: bool) -> Step:
    """A step of `fit`, which on a GPU is recorded once and replayed where it is compiled."""
    optimizer = torch.optim.Adam(vae.parameters(), fused=True)
    state = State(vae, ELBO(), optimizer)
    make = CompiledStep() if is_compiled else step

    def one() -> None:
        nonlocal state
        state, _ = make(state, x)

    return one


def model(widths: Sequence[int], latent_dim: int) -> VAE:
    """The same net as by hand."""
    return VAE(
        data_shape=(widths[0],),
        latent_dim=latent_dim,
        hidden_dims=tuple(widths[1:]),
        activation="tanh",
        standardize="none",
        likelihood="bernoulli",
        seed=0,
    )


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def milliseconds(one: Step, device: torch.device, rounds: int, steps: int) -> float:
    """The median time of a step."""
    one()
    found = []
    for _ in range(rounds + 1):
        wait(device)
        began = time.perf_counter()
        for _ in range(steps):
            one()
        wait(device)
        found.append(1e3 * (time.perf_counter() - began) / steps)
    return statistics.median(found[1:])


def print_steps(device: torch.device, rounds: int, steps: int) -> None:
    """Milliseconds of a step by size."""
    names = ("by hand", "compiled", "SVI", "ours, eager", "ours, replayed")
    print(f"\n{'ms a step':<16}" + "".join(f"{name:>16}" for name in names))
    for size, (widths, latent_dim, rows) in SIZES.items():
        x = (torch.rand(rows, widths[0], device=device) < 0.3).float()
        plain = [HandWritten(widths, latent_dim).to(device) for _ in range(3)]
        contestants = [
            by_hand(plain[0], plain[0], x),
            by_hand(plain[1], torch.compile(plain[1]), x),
            by_svi(plain[2], x),
            ours(model(widths, latent_dim).to(device), x, is_compiled=False),
            ours(model(widths, latent_dim).to(device), x, is_compiled=True),
        ]
        cells = [milliseconds(one, device, rounds, steps) for one in contestants]
        print(f"{size:<16}" + "".join(f"{cell:>16.3f}" for cell in cells), flush=True)


def rate_of_products(device: torch.device, side: int) -> float:
    """Floating-point operations a second of the product of two large matrices."""
    left, right = torch.rand(2, side, side, device=device)
    seconds = milliseconds(lambda: left @ right, device, rounds=5, steps=5) / 1e3
    return 2 * side**3 / seconds


def print_evidence(device: torch.device, rows: int, draws: int, side: int) -> None:
    """Rows a second, and the share of the device's rate."""
    widths, latent_dim, _ = SIZES["M"]
    vae = model(widths, latent_dim).to(device)
    x = (torch.rand(rows, widths[0]) < 0.3).float()
    pairs = pairwise([latent_dim, *reversed(widths)])
    of_draw = sum(2 * inputs * outputs for inputs, outputs in pairs)
    rate = rate_of_products(device, side)
    print(f"\nproducts of {side} x {side}: {rate / 1e12:.2f} TFLOP/s in float32")
    print(f"log p(x) of {rows} rows, {draws} draws")
    evidence(vae, x[:2], num_particles=draws, method="importance")
    for compile in ("off", "on"):
        wait(device)
        began = time.perf_counter()
        evidence(
            vae,
            x,
            num_particles=draws,
            method="importance",
            compile=compile,
            progress=False,
        )
        seconds = time.perf_counter() - began
        share = rows * draws * of_draw / seconds / rate
        speed = f"{rows / seconds:>10.1f} rows a second"
        print(f"compile={compile!r:<6} {speed}, {share:.1%} of the rate", flush=True)


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
        print(
            torch.cuda.get_device_name(device), f"torch {torch.__version__}", flush=True
        )
    if not options.quick:
        tests = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-m", "gpu"]
        subprocess.run(tests, check=False)
    with pyro.validation_enabled(False):
        print_steps(device, *((2, 2) if options.quick else (9, STEPS)))
    print_evidence(device, *((4, 50, 256) if options.quick else (2000, DRAWS, SIDE)))
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device) / 2**20
        print(f"\npeak memory of the device: {peak:.0f} MiB")


if __name__ == "__main__":
    main()
