"""A prior of one's own, which is a module that returns a distribution: a ring of normals.

    python examples/own_prior.py [picture.png] [--epochs 100]

The radius and the width of the ring are learned with the rest of the model. One sees log p(x) of
new digits beside that of a standard normal, as a paired difference, and a map of the codes with
their digits as colours.
"""

import argparse
import math

import pyro.distributions as dist
import torch
from sklearn.datasets import load_digits
from torch import nn

import pyro_vae as pv
from pyro_vae.analysis.figures.plots import latent_scatter, save_figure

COMPONENTS = 20


class Ring(nn.Module):
    """p(z) = 1/K Σₖ N(z | r (cos 2πk/K, sin 2πk/K), s² I), with r and s learned."""

    def __init__(self) -> None:
        super().__init__()
        angle = torch.arange(COMPONENTS) * (2 * math.pi / COMPONENTS)
        self.register_buffer("circle", torch.stack([angle.cos(), angle.sin()], dim=1))
        self.log_radius = nn.Parameter(torch.tensor(math.log(2.0)))
        self.log_width = nn.Parameter(torch.tensor(math.log(0.5)))

    def forward(self) -> dist.Distribution:
        centres = self.log_radius.exp() * self.circle
        normals = dist.Normal(centres, self.log_width.exp()).to_event(1)
        weights = dist.Categorical(logits=torch.zeros_like(self.circle[:, 0]))
        return dist.MixtureSameFamily(weights, normals)


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("picture", nargs="?", default="own_prior.png")
parser.add_argument("--epochs", type=int, default=100)
options = parser.parse_args()

x = pv.data.load("digits")
counts = {"kind": "beta_binomial", "total_count": 16}
models = {}
for name, prior in {"ring": Ring(), "standard_normal": "standard_normal"}.items():
    vae = pv.VAE(data_shape=(64,), latent_dim=2, likelihood=counts, prior=prior)
    pv.fit(vae, x[:1400], epochs=options.epochs, seed=0)
    models[name] = vae

print(pv.compare(models, x[1400:1600], num_particles=200))
ring = models["ring"].prior
print(f"radius {ring.log_radius.exp():.2f}, width {ring.log_width.exp():.2f}")
codes = pv.encode(models["ring"], x).loc
save_figure(latent_scatter(codes, labels=load_digits().target), options.picture)
print(f"wrote {options.picture}")
