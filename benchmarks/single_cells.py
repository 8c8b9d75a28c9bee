"""log p of held-out single cells given their totals, beside scvi-tools where that is installed.

    python -m benchmarks.single_cells sample_cell_by_gene.csv [--kinds nb zinb]

The file is that of examples/single_cell.py. Both models see the same cells and genes, and take the
total of a row as its size. SCVI has its defaults, as it is and with an early stop; its log p is
from five times as many draws, since they are draws of its guide alone.
"""

import argparse
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
import torch

import pyro_vae as pv

GENES = 300
HELD_OUT = 100
DRAWS = 1000
KINDS = {"nb": "negative_binomial", "zinb": "zero_inflated_negative_binomial"}
TRAINING: dict[str, dict[str, Any]] = {
    "defaults": {},
    "early stop": {"max_epochs": 1000, "early_stopping": True},
}


def cells(file: str) -> np.ndarray:
    """Counts of the genes whose variance is largest for their mean, cells in random order."""
    table = pd.read_csv(file, index_col=0).round().sample(frac=1, random_state=0)
    size = table.sum(axis=1) / table.sum(axis=1).mean()
    per_size = table.div(size, axis=0)[:-HELD_OUT]
    excess = per_size.var() / per_size.mean()
    return np.asarray(table[excess.nlargest(GENES).index], dtype=np.float32)


def ours(kind: str, x: np.ndarray, epochs: int, seed: int) -> np.ndarray:
    """log p of the held-out cells by a net as wide as that of SCVI."""
    likelihood = {"kind": kind, "size_factor": "total"}
    vae = pv.VAE(
        data_shape=(GENES,), latent_dim=10, hidden_dims=(128,), likelihood=likelihood
    )
    pv.fit(vae, x[:-HELD_OUT], epochs=epochs, seed=seed, progress=False)
    found = pv.evidence(vae, x[-HELD_OUT:], num_particles=DRAWS, seed=seed)
    return np.asarray(found.log_marginal)


def theirs(kind: str, x: np.ndarray, seed: int, training: dict[str, Any]) -> np.ndarray:
    """log p of the held-out cells by SCVI."""
    import anndata
    import scvi

    scvi.settings.seed = seed
    train, test = (anndata.AnnData(part) for part in (x[:-HELD_OUT], x[-HELD_OUT:]))
    scvi.model.SCVI.setup_anndata(train)
    model = scvi.model.SCVI(train, gene_likelihood=kind, use_observed_lib_size=True)
    model.train(enable_progress_bar=False, logger=False, **training)
    torch.manual_seed(seed)
    found = model.get_marginal_ll(test, n_mc_samples=5 * DRAWS, return_mean=False)
    return np.asarray(found)


def shown(values: np.ndarray) -> str:
    error = values.std(ddof=1) / len(values) ** 0.5
    return f"{values.mean():9.2f} ± {error:5.2f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    options = parser.parse_args()
    x = cells(options.data)
    for short in options.kinds:
        log_p = ours(KINDS[short], x, options.epochs, options.seed)
        print(f"{short:<5} ours               {shown(log_p)}", flush=True)
        for name, training in TRAINING.items():
            if find_spec("scvi") is None:
                continue
            other = theirs(short, x, options.seed, training)
            print(f"{short:<5} SCVI, {name:<12} {shown(other)}")
            print(f"{short:<5} ours minus SCVI    {shown(log_p - other)}", flush=True)
