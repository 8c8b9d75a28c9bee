"""log p of held-out single cells given their totals, beside scvi-tools where that is installed.

    python -m benchmarks.single_cells sample_cell_by_gene.csv [--epochs 200]

The file is that of examples/single_cell.py. Both models see the same cells and genes and take the
total of a row as its size. scvi-tools estimates log p from draws of its guide alone; its number
with five times the draws says how far that is from settled.
"""

import argparse
from importlib.util import find_spec

import numpy as np
import pandas as pd
import torch

import pyro_vae as pv

GENES = 300
HELD_OUT = 100
DRAWS = 1000
KINDS = {"nb": "negative_binomial", "zinb": "zero_inflated_negative_binomial"}


def cells(file: str) -> np.ndarray:
    """Counts of the genes whose variance is largest for their mean, cells in random order."""
    table = pd.read_csv(file, index_col=0).round().sample(frac=1, random_state=0)
    size = table.sum(axis=1) / table.sum(axis=1).mean()
    per_size = table.div(size, axis=0)[:-HELD_OUT]
    excess = per_size.var() / per_size.mean()
    return np.asarray(table[excess.nlargest(GENES).index], dtype=np.float32)


def ours(kind: str, x: np.ndarray, epochs: int, seed: int) -> np.ndarray:
    likelihood = {"kind": kind, "size_factor": "total"}
    vae = pv.VAE(
        data_shape=(GENES,), latent_dim=10, hidden_dims=(128,), likelihood=likelihood
    )
    pv.fit(vae, x[:-HELD_OUT], epochs=epochs, seed=seed, progress=False)
    found = pv.evidence(vae, x[-HELD_OUT:], num_particles=DRAWS, seed=seed)
    return np.asarray(found.log_marginal)


def theirs(kind: str, x: np.ndarray, seed: int, draws: int) -> list[torch.Tensor]:
    """log p of the held-out cells by SCVI with its defaults, with so many draws and five times."""
    import anndata
    import scvi

    scvi.settings.seed = seed
    scvi.settings.verbosity = 30
    train, test = (anndata.AnnData(part) for part in (x[:-HELD_OUT], x[-HELD_OUT:]))
    scvi.model.SCVI.setup_anndata(train)
    model = scvi.model.SCVI(train, gene_likelihood=kind, use_observed_lib_size=True)
    model.train(enable_progress_bar=False, logger=False)
    torch.manual_seed(seed)
    return [
        model.get_marginal_ll(test, n_mc_samples=count, return_mean=False)
        for count in (draws, 5 * draws)
    ]


def shown(values: np.ndarray) -> str:
    error = values.std(ddof=1) / len(values) ** 0.5
    return f"{values.mean():9.2f} ± {error:5.2f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    x = cells(options.data)
    for short, kind in KINDS.items():
        log_p = ours(kind, x, options.epochs, options.seed)
        print(f"{kind:<32} {shown(log_p)}")
        if find_spec("scvi") is not None:
            few, many = theirs(short, x, options.seed, DRAWS)
            print(f"  SCVI {short:<5} {DRAWS} draws          {shown(few.numpy())}")
            print(f"  SCVI {short:<5} {5 * DRAWS} draws         {shown(many.numpy())}")
            print(f"  ours minus SCVI, paired        {shown(log_p - many.numpy())}")
