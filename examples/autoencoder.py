"""An autoencoder compresses; a variational autoencoder also generates.

    python examples/autoencoder.py [picture.png]

Both have the same networks, the same Gaussian likelihood and the same training; they differ in
prior and guide. Codes drawn from N(0, I) decode to digits in the VAE, whose loss pulls the codes of
the data towards N(0, I). The codes of the autoencoder lie where they like: the same draws fall
beside them and decode to nonsense.
"""

import sys

import numpy as np
import torch

import pyro_vae as pv
from pyro_vae.analysis.figures.plots import image_grid, save_figure

x = pv.data.load("digits")
common = {
    "data_shape": (64,),
    "latent_dim": 8,
    "likelihood": {"kind": "normal", "scale": 2.0},
}
models = {
    "autoencoder": pv.VAE(**common, prior="flat", guide="delta"),
    "VAE": pv.VAE(**common, prior="standard_normal", guide="mean_field"),
}

noise = torch.randn(12, 8, generator=torch.Generator().manual_seed(0))
pictures = [x[:12]]
for name, vae in models.items():
    pv.fit(vae, x, epochs=100, lr=2e-3)
    codes = pv.encode(vae, x).loc
    error = np.square(pv.reconstruct(vae, x) - x).mean()
    moments = f"mean {codes.mean():5.2f}, sd {codes.std():5.2f}"
    print(f"{name:<12} squared error {error:5.2f} per pixel, codes: {moments}")
    with torch.no_grad():
        pictures.append(vae.likelihood(noise).mean.clamp(0, 16).numpy())

path = sys.argv[1] if len(sys.argv) > 1 else "autoencoder.png"
title = "digits; N(0, I) decoded by the autoencoder; by the VAE"
save_figure(image_grid(np.concatenate(pictures), columns=12, title=title), path)
print(f"wrote {path}")
