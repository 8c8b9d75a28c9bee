"""Digits of which some are upside down: their log p(x), p-values, and a picture of the oddest.

    python examples/anomalies.py [picture.png] [--epochs 100]

A model of upright digits scores 200 new ones and 20 upside down. One sees the area under the ROC
curve, how many rows have a p-value of at most 0.01 (one upright digit in a hundred does by chance),
and the 30 digits that the model finds least likely. A 0 upside down is a 0, and stays likely.
"""

import argparse

import numpy as np
from sklearn.metrics import roc_auc_score

import pyro_vae as pv
from pyro_vae.analysis.figures.plots import image_grid, save_figure

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("picture", nargs="?", default="anomalies.png")
parser.add_argument("--epochs", type=int, default=100)
options = parser.parse_args()

x = pv.data.load("digits")
train, reference, upright, others = np.split(x, [1200, 1500, 1700])[:4]
turned = others[:20, ::-1]  # pixels in reverse order
rows = np.concatenate([upright, turned])
is_turned = np.arange(len(rows)) >= len(upright)

likelihood = {"kind": "beta_binomial", "total_count": 16}
vae = pv.VAE(data_shape=(64,), latent_dim=8, likelihood=likelihood)
pv.fit(vae, train, epochs=options.epochs, seed=0)
found = pv.anomaly(vae, rows, reference=reference, num_particles=200, shares=False)

area = roc_auc_score(is_turned, -found.log_marginal)
is_odd = found.p_value <= 0.01
print(f"area under the ROC curve {area:.3f}")
print(
    f"p <= 0.01: {is_odd[is_turned].sum()} of {is_turned.sum()} digits upside down, "
    f"{is_odd[~is_turned].sum()} of {(~is_turned).sum()} upright ones"
)
worst = found.worst(30)
captions = ["upside down" if is_turned[row] else "upright" for row in worst]
title = "the least likely of 200 upright digits and 20 upside down, from the oddest on"
figure = image_grid(rows[worst], captions=captions, title=title, limits=(0, 16))
save_figure(figure, options.picture)
print(f"wrote {options.picture}")
