"""Frey faces: 28 x 20 pixels of 256 grey levels, from a file.

    python examples/frey_faces.py frey_faces.npz [picture.png] [--epochs 300]

The file has an array of 1965 frames of a film, (1965, 28, 20), whole numbers from 0 to 255. As
neighbours in a film are alike, the last 400 frames are held out, and the 100 before them choose the
epoch. One sees log p(x) of 100 held-out frames in bits per pixel, and a picture: frames, their
reconstructions, and faces that the model draws.
"""

import argparse

import numpy as np

import pyro_vae as pv
from pyro_vae.analysis.figures.plots import image_grid, save_figure

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("data")
parser.add_argument("picture", nargs="?", default="frey_faces.png")
parser.add_argument("--epochs", type=int, default=300)
options = parser.parse_args()

x = pv.data.load(options.data).astype(np.float32)
train = x[:-500]
validation = x[-500:-400]
held_out = x[-400::4]
vae = pv.VAE(
    data_shape=(28, 20),
    latent_dim=16,
    likelihood="discretized_logistic",
    hidden_dims=(300, 300),
    denoise=0.1,
)
training = {"batch_size": 100, "lr": 1e-3, "kl_warmup_epochs": 10, "ema_decay": 0.995}
run = pv.fit(vae, train, epochs=options.epochs, validation=validation, **training)
print(vae, run.summary(), sep="\n")

found = pv.evidence(vae, held_out, num_particles=200, proposal="guide")
print(f"{found.bits_per_dim:.3f} bits per pixel of {len(held_out)} held-out frames")

shown = held_out[::5]
rows = [shown, pv.reconstruct(vae, shown), pv.sample(vae, 20, seed=0).mean]
title = "held-out frames, their reconstructions, samples"
figure = image_grid(np.concatenate(rows), columns=20, title=title, limits=(0, 255))
save_figure(figure, options.picture)
print(f"wrote {options.picture}")
