"""The programs of whole runs, which import nothing of this folder."""

import inspect

from benchmarks.speed.by_hand import HandWritten, net
from benchmarks.speed.sizes import Size

BATCHES = 50
"""Batches in the rows of a run; more steps are more epochs."""

HAND_WRITTEN = """
from __future__ import annotations
from itertools import pairwise
from types import SimpleNamespace
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

{classes}

torch.set_num_threads(1)
size = SimpleNamespace(encoder={encoder}, decoder={decoder})
rows = (torch.rand({rows}, {data_dim}) < 0.3).float()
loss = HandWritten(size)
optimizer = torch.optim.Adam(loss.parameters(), fused=True)
for epoch in range({epochs}):
    for index in torch.randperm(len(rows)).split({batch_size}):
        value = loss(rows[index])
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
"""

OURS = """
import torch
import pyro_vae as pv
torch.set_num_threads(1)
rows = (torch.rand({rows}, {data_dim}) < 0.3).float()
vae = pv.VAE(
    data_shape=({data_dim},), latent_dim={latent_dim}, hidden_dims={hidden_dims},
    activation="tanh", likelihood="bernoulli", seed=0,
)
pv.fit(
    vae, rows, epochs={epochs}, batch_size={batch_size}, validation=None, compile={compile!r},
    progress=False, seed=0,
)
"""

NUMPYRO = """
import os
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
os.environ["NPROC"] = "1"
from functools import partial
import jax
import jax.numpy as jnp
import numpyro
from jax import lax, nn, random
from numpyro.distributions import Bernoulli, Normal
from numpyro.infer import SVI, TraceMeanField_ELBO


def net(*widths):
    def start(key, _):
        weights = []
        for ins, outs in zip(widths, widths[1:]):
            for shape in ((ins, outs), (outs,)):
                key, own = random.split(key)
                bound = ins**-0.5
                weights.append(random.uniform(own, shape, minval=-bound, maxval=bound))
        return None, weights

    def apply(weights, x):
        *inner, (last, bias) = zip(weights[::2], weights[1::2])
        for weight, offset in inner:
            x = jnp.tanh(x @ weight + offset)
        return x @ last + bias

    return start, apply


def model(x):
    decode = numpyro.module("decoder", net{decoder}, ({latent_dim},))
    with numpyro.plate("data", len(x)):
        z = numpyro.sample("z", Normal(0, 1).expand([{latent_dim}]).to_event(1))
        numpyro.sample("x", Bernoulli(logits=decode(z)).to_event(1), obs=x)


def guide(x):
    encode = numpyro.module("encoder", net{encoder}, ({data_dim},))
    with numpyro.plate("data", len(x)):
        loc, raw_scale = jnp.split(encode(x), 2, -1)
        numpyro.sample("z", Normal(loc, nn.softplus(raw_scale) + 1e-4).to_event(1))


svi = SVI(model, guide, numpyro.optim.Adam(1e-3), TraceMeanField_ELBO())
x = (random.uniform(random.key(2), ({rows}, {data_dim})) < 0.3).astype(float)
state = svi.init(random.key(0), x[:{batch_size}])
key = random.key(1)


@partial(jax.jit, donate_argnums=0)
def epoch(state, key, x):
    order = random.permutation(key, len(x)).reshape(-1, {batch_size})
    return lax.scan(lambda state, index: svi.update(state, x[index]), state, order)


for _ in range({epochs}):
    key, own = random.split(key)
    state, losses = epoch(state, own, x)
float(losses[-1])
"""

PYTHAE = """
import logging
import tempfile
import torch
from torch import nn
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig

torch.set_num_threads(1)
logging.disable(logging.INFO)


def net(*widths):
    layers = []
    for ins, outs in zip(widths, widths[1:]):
        layers += [nn.Linear(ins, outs), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


class Encoder(BaseEncoder):
    def __init__(self):
        super().__init__()
        self.net = net{encoder}

    def forward(self, x):
        loc, log_variance = self.net(x).chunk(2, -1)
        return ModelOutput(embedding=loc, log_covariance=log_variance)


class Decoder(BaseDecoder):
    def __init__(self):
        super().__init__()
        self.net = net{decoder}

    def forward(self, z):
        return ModelOutput(reconstruction=self.net(z).sigmoid())


x = (torch.rand({rows}, {data_dim}) < 0.3).float()
config = VAEConfig(
    input_dim=({data_dim},), latent_dim={latent_dim}, reconstruction_loss="bce"
)
with tempfile.TemporaryDirectory() as folder:
    options = BaseTrainerConfig(
        output_dir=folder,
        num_epochs={epochs},
        per_device_train_batch_size={batch_size},
        learning_rate=1e-3,
        no_cuda=True,
    )
    data = BaseDataset(x, torch.ones(len(x)))
    BaseTrainer(VAE(config, Encoder(), Decoder()), data, training_config=options).train()
"""


def _of(size: Size, steps: int) -> dict[str, object]:
    """What stands in the braces of all programs."""
    return {
        "encoder": size.encoder,
        "decoder": size.decoder,
        "rows": BATCHES * size.batch_size,
        "data_dim": size.data_dim,
        "latent_dim": size.latent_dim,
        "hidden_dims": size.hidden_dims,
        "batch_size": size.batch_size,
        "epochs": steps // BATCHES,
    }


def by_hand(size: Size, steps: int) -> str:
    """A program that imports torch alone."""
    classes = inspect.getsource(net) + "\n\n" + inspect.getsource(HandWritten)
    return HAND_WRITTEN.format(classes=classes, **_of(size, steps))


def ours(size: Size, steps: int, compile: str) -> str:
    """The same net and the same number of steps by `fit`."""
    return OURS.format(compile=compile, **_of(size, steps))


def by_numpyro(size: Size, steps: int) -> str:
    """The same by NumPyro, an epoch as one compiled scan."""
    return NUMPYRO.format(**_of(size, steps))


def by_pythae(size: Size, steps: int) -> str:
    """The same by pythae's trainer, which saves the model at the end."""
    return PYTHAE.format(**_of(size, steps))


PEERS = {"NumPyro": by_numpyro, "pythae": by_pythae}
