"""Priors, guides and objectives on the static binarized MNIST, one by one, beside N(0, I).

    python -m benchmarks.mnist_priors binarized_mnist.npz --output runs/mnist           # all, in
    two hours python -m benchmarks.mnist_priors binarized_mnist.npz --output runs/mnist vamp      #
    one of them

The net of Tomczak and Welling (2018, VAE with a VampPrior), 784-300-300-40 of gated layers, 40
latent variables on each level; one learning rate, batch size and seed for all, and a quarter of an
hour on two cores at most. With two levels the encoder sees slightly corrupted rows, and the warm-up
is longer. The gradient is sticking the landing's, and DReG's for the IWAE; the flow guide, which
would be inverted for it, has the plain one. The weights are averaged and the epoch is chosen on
validation rows. log p(x) is importance sampling with 1000 draws on the same 2000 random test rows,
from the guide and as `evidence` does it by default; the differences are paired.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pyro_vae import VAE, evidence, fit, load, save
from pyro_vae.data import load_splits
from pyro_vae.training import Run

NET: dict[str, Any] = {
    "data_shape": (784,),
    "likelihood": "bernoulli",
    "encoder": {"kind": "gated_mlp", "hidden_dims": (300, 300)},
    "decoder": {"kind": "gated_mlp", "hidden_dims": (300, 300)},
    "standardize": "all",
}
TRAINING: dict[str, Any] = {
    "epochs": 80,
    "compile": "step",
    "batch_size": 250,
    "optimizer": "adamw",
    "optimizer_options": {"eps": 1e-4, "weight_decay": 0.1},
    "lr": 1.5e-3,
    "ema_decay": 0.999,
}
ONE_LEVEL: dict[str, Any] = {"latent_dim": 40}
TWO_LEVELS: dict[str, Any] = {
    "latent_dim": 80,
    "denoise": 0.25,
    "guide": {"kind": "hierarchical", "top_dim": 40, "direction": "top_down", "hidden_dim": 300},
}
ANNEALED: dict[str, Any] = {"kl_warmup_epochs": 10}
STL: dict[str, Any] = {**ANNEALED, "objective": {"kind": "elbo", "gradient": "stl"}}
SLOWLY: dict[str, Any] = {**STL, "epochs": 100, "kl_warmup_epochs": 25}


def two_levels(top: dict[str, Any] | str) -> dict[str, Any]:
    """p(z₂) p(z₁ | z₂) with 40 latent variables on each level."""
    return {
        **TWO_LEVELS,
        "prior": {"kind": "hierarchical", "top_dim": 40, "top": top, "hidden_dims": (300, 300)},
    }


VAMP = {"kind": "vamp", "pseudo_inputs": 500}
FLOW = {"kind": "flow", "transform": "coupling", "transforms": 8, "hidden_dims": (128, 128)}
MODELS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "standard_normal": (ONE_LEVEL, STL),
    "mixture": ({**ONE_LEVEL, "prior": {"kind": "mixture", "components": 100}}, STL),
    "vamp": ({**ONE_LEVEL, "prior": VAMP}, {**STL, "epochs": 70}),
    "flow_prior": ({**ONE_LEVEL, "prior": FLOW}, STL),
    "flow_guide": (
        {**ONE_LEVEL, "guide": {"kind": "flow", "transforms": 2, "hidden_dims": (256,)}},
        ANNEALED,
    ),
    "two_levels_vamp": (two_levels(VAMP), {**SLOWLY, "epochs": 75}),
    "two_levels_flow_prior": (two_levels(FLOW), SLOWLY),
    "iwae_5_dreg": (
        ONE_LEVEL,
        {"epochs": 50, "objective": {"kind": "iwae", "num_particles": 5, "gradient": "dreg"}},
    ),
}
ROWS, PARTICLES = 2000, 1000
COLUMNS = ("log_marginal", "elbo", "pareto_k", "trusted", "method")


def train(name: str, x: np.ndarray, validation: np.ndarray) -> Run:
    """The model of that name, fitted."""
    model, training = MODELS[name]
    return fit(
        VAE(**NET, **model, seed=0), x, validation=validation, seed=0, **{**TRAINING, **training}
    )


def test_rows(test: np.ndarray) -> np.ndarray:
    """The same random rows for every model."""
    return test[np.sort(np.random.default_rng(0).permutation(len(test))[:ROWS])]


def evaluated(folder: Path, x: np.ndarray, proposal: str) -> dict[str, np.ndarray]:
    """What `COLUMNS` name of each row, from a file beside the model where they are there already."""
    file = folder / f"{proposal}.npz"
    if not file.exists():
        how = {} if proposal == "auto" else {"proposal": proposal}
        found = evidence(load(folder), x, num_particles=PARTICLES, progress=None, **how)
        np.savez(file, seconds=found.seconds, **{name: getattr(found, name) for name in COLUMNS})
    with np.load(file) as stored:
        return dict(stored)


def said(values: np.ndarray) -> str:
    """The mean with its standard error."""
    return f"{values.mean():>9.2f} ± {values.std(ddof=1) / len(values) ** 0.5:.2f}"


def print_table(output: Path, names: Sequence[str], x: np.ndarray, proposal: str) -> None:
    """One line for each model that is fitted; differences against the first one, positive where a
    model is better.
    """
    print(
        f"\nstatic binarized MNIST, {len(x)} test rows, IS-{PARTICLES} from proposal {proposal!r}, "
        "nats per row"
    )
    names_of_columns = f"{'k > 0.7':>9}{'trusted':>9}{'seconds':>9}{'minutes':>9}"
    print(
        f"{'model':<22}{'log p(x)':>16}{'difference':>16}{'ELBO':>9}{names_of_columns}", flush=True
    )
    first = None
    for folder in (output / name for name in names if (output / name / "minutes.npy").exists()):
        found = evaluated(folder, x, proposal)
        first = found["log_marginal"] if first is None else first
        numbers = f"{said(found['log_marginal'])}{said(found['log_marginal'] - first)}{found['elbo'].mean():>9.2f}"
        minutes = float(np.load(folder / "minutes.npy"))
        trust = f"{(found['pareto_k'] > 0.7).mean():>9.1%}{found['trusted'].mean():>9.1%}"
        print(
            f"{folder.name:<22}{numbers}{trust}{float(found['seconds']):>9.0f}{minutes:>9.1f}",
            flush=True,
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit what is asked for and print the table of all that is fitted."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "data",
        type=Path,
        help="a .npz of arrays train, valid and test, rows packed by numpy.packbits",
    )
    parser.add_argument(
        "models",
        nargs="*",
        choices=[*MODELS, []],
        help="which to fit; by default all that are not yet",
    )
    parser.add_argument(
        "--proposals", nargs="*", default=["guide", "auto"], help="a table each (default: both)"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("runs/mnist"), help="folder of the fitted models"
    )
    options = parser.parse_args(arguments)
    splits = load_splits(options.data, packed_bits=True)
    assert splits.valid is not None
    assert splits.test is not None
    for name in options.models or MODELS:
        folder = options.output / name
        if not (folder / "minutes.npy").exists():
            print(name, flush=True)
            run = train(name, splits.train, splits.valid)
            save(run.vae, folder, overwrite=True)
            np.save(folder / "minutes.npy", sum(row["seconds"] for row in run.history) / 60)
            print(f"best epoch {run.best_epoch}, {run.history[run.best_epoch - 1]}", flush=True)
    for proposal in options.proposals:
        print_table(
            options.output, options.models or list(MODELS), test_rows(splits.test), proposal
        )


if __name__ == "__main__":
    main()
