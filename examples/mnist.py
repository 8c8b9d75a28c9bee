"""Static MNIST, the binary images of the published tables, from a file.

    python examples/mnist.py binarized_mnist.npz [picture.png] [--epochs 60] [--rows 50000]

The file has arrays train, valid and test of bits, (n, 784), or of bytes with eight bits in each,
(n, 98). One sees the ELBO of the validation rows, log p(x) of 200 test rows by 1000 draws from the
guide, as the tables have it (k-hat trusts few of these numbers: they are a little low), and digits
that the model draws. 60 epochs take some minutes and are not yet the best that the model can do.
"""

import argparse

import numpy as np

import pyro_vae as pv
from pyro_vae.analysis.figures.plots import image_grid, save_figure

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("data")
parser.add_argument("picture", nargs="?", default="mnist.png")
parser.add_argument("--epochs", type=int, default=60)
parser.add_argument("--rows", type=int, default=50_000)
options = parser.parse_args()

splits = pv.data.load_splits(options.data, packed_bits=True)
vae = pv.VAE(
    data_shape=(784,),
    latent_dim=50,
    likelihood="bernoulli",
    hidden_dims=(200, 200),
    standardize="all",
)
run = pv.fit(
    vae,
    splits.train[: options.rows],
    validation=splits.valid[: options.rows],
    epochs=options.epochs,
    kl_warmup_epochs=min(10, options.epochs // 2),
    ema_decay=0.999,
)
print(vae, run.summary(), sep="\n")

# The test rows of some copies are sorted by digit, so the rows are drawn.
chosen = np.random.default_rng(0).choice(len(splits.test), 200, replace=False)
found = pv.evidence(vae, splits.test[chosen], num_particles=1000, proposal="guide")
print(found.summary())

figure = image_grid(pv.sample(vae, 60, seed=0).mean, columns=12, limits=(0, 1))
save_figure(figure, options.picture)
print(f"wrote {options.picture}")
