"""NumPyro: a compiled step in a Python loop, and an epoch as one compiled `lax.scan`.

Rows stay on the device; in the scan the order of the rows is drawn and the batches are cut inside
the graph. The state is donated, so that it changes in place. On one thread XLA gets one as well,
unless XLA_FLAGS says something else.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch

if torch.get_num_threads() == 1:  # read when JAX starts
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
    os.environ.setdefault("NPROC", "1")

import jax
import jax.numpy as jnp
import numpyro
from jax import lax, nn, random
from numpyro.distributions import Bernoulli, Normal
from numpyro.infer import SVI, TraceMeanField_ELBO

from benchmarks.speed.clock import Run
from benchmarks.speed.sizes import Size

Net = tuple[Callable[..., Any], Callable[..., Any]]


def net(widths: Sequence[int]) -> Net:
    """Linear layers with tanh between them, and torch's first weights."""

    def start(key: jax.Array, _: tuple[int, ...]) -> tuple[None, list[jax.Array]]:
        shapes = [
            shape for ins, outs in pairwise(widths) for shape in ((ins, outs), (outs,))
        ]
        bounds = [ins**-0.5 for ins, _ in pairwise(widths) for _ in range(2)]
        keys = random.split(key, len(shapes))
        weights = [
            random.uniform(one, shape, minval=-bound, maxval=bound)
            for one, shape, bound in zip(keys, shapes, bounds, strict=True)
        ]
        return None, weights

    def apply(weights: list[jax.Array], x: jax.Array) -> jax.Array:
        *inner, (last, bias) = zip(weights[::2], weights[1::2], strict=True)
        for weight, offset in inner:
            x = jnp.tanh(x @ weight + offset)
        return x @ last + bias

    return start, apply


def program(size: Size) -> SVI:
    """Model and guide as in NumPyro's example of a VAE."""
    encoder = net(size.encoder)
    decoder = net(size.decoder)

    def model(x: jax.Array) -> None:
        decode = numpyro.module("decoder", decoder, (size.latent_dim,))
        with numpyro.plate("data", len(x)):
            z = numpyro.sample("z", Normal(0, 1).expand([size.latent_dim]).to_event(1))
            numpyro.sample("x", Bernoulli(logits=decode(z)).to_event(1), obs=x)

    def guide(x: jax.Array) -> None:
        encode = numpyro.module("encoder", encoder, (size.data_dim,))
        with numpyro.plate("data", len(x)):
            loc, raw_scale = jnp.split(encode(x), 2, -1)
            numpyro.sample("z", Normal(loc, nn.softplus(raw_scale) + 1e-4).to_event(1))

    return SVI(model, guide, numpyro.optim.Adam(1e-3), TraceMeanField_ELBO())


def by_steps(size: Size) -> Run:
    """A call for each step."""
    svi = program(size)
    x = jnp.asarray(size.rows().numpy())
    state = svi.init(random.key(0), x[: size.batch_size])
    step = jax.jit(
        lambda state, x, index: svi.update(state, x[index]), donate_argnums=0
    )

    def run() -> object:
        nonlocal state
        for index in (
            torch.randperm(len(x)).reshape(size.steps, size.batch_size).numpy()
        ):
            state, loss = step(state, x, index)
        return jax.block_until_ready((state, loss))

    return run


def by_scan(size: Size) -> Run:
    """A call for each epoch."""
    svi = program(size)
    x = jnp.asarray(size.rows().numpy())
    key = random.key(1)
    state = svi.init(random.key(0), x[: size.batch_size])

    @partial(jax.jit, donate_argnums=0)
    def epoch(state: Any, key: jax.Array, x: jax.Array) -> Any:
        order = random.permutation(key, len(x)).reshape(size.steps, size.batch_size)
        return lax.scan(lambda state, index: svi.update(state, x[index]), state, order)

    def run() -> object:
        nonlocal state, key
        key, of_epoch = random.split(key)
        state, losses = epoch(state, of_epoch, x)
        return jax.block_until_ready((state, losses))

    return run


def contestants(size: Size) -> dict[str, Run]:
    return {
        "NumPyro, jitted step": by_steps(size),
        "NumPyro, scanned epoch": by_scan(size),
    }
