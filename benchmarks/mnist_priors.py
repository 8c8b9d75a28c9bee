"""Priors, guides and objectives on the static binarized MNIST, one by one, beside N(0, I).

    python -m benchmarks.mnist_priors binarized_mnist.npz --output runs/mnist           # all, in two hours
    python -m benchmarks.mnist_priors binarized_mnist.npz --output runs/mnist vamp      # one of them

The net of Tomczak and Welling (2018, VAE with a VampPrior), 784-300-300-40 of gated layers, 40 latent variables on each
level; one learning rate, batch size and seed for all, and a quarter of an hour on two cores at most. With two levels
the encoder sees slightly corrupted rows, and the warm-up is longer. The gradient is sticking the landing's, and DReG's
for the IWAE; the flow guide, which would be inverted for it, has the plain one. The weights are averaged and the epoch
is chosen on validation rows. log p(x) is importance sampling with 1000 draws on the same 2000 random test rows, from
the guide and from the refined proposal; the differences are paired.
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
    "average": 0.999,
}
ONE_LEVEL: dict[str, Any] = {"latent_dim": 40}
TWO_LEVELS: dict[str, Any] = {
    "latent_dim": 80,
    "denoise": 0.25,
    "guide": {"kind": "hierarchical", "top_dim": 40, "direction": "top_down", "hidden_dim": 300},
}
ANNEALED: dict[str, Any] = {"annealing": 10}
STL: dict[str, Any] = {**ANNEALED, "objective": {"kind": "elbo", "gradient": "stl"}}
SLOWLY: dict[str, Any] = {**STL, "epochs": 100, "annealing": 25}


def two_levels(top: dict[str, Any] | str) -> dict[str, Any]:
    """p(z₂) p(z₁ | z₂) with 40 latent variables on each level."""
    return {**TWO_LEVELS, "prior": {"kind": "hierarchical", "top_dim": 40, "top": top, "hidden_dims": (300, 300)}}


VAMP = {"kind": "vamp", "pseudo_inputs": 500}
FLOW = {"kind": "flow", "transform": "realnvp", "transforms": 8, "hidden_dims": (128, 128)}
MODELS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "standard_normal": (ONE_LEVEL, STL),
    "mixture": ({**ONE_LEVEL, "prior": {"kind": "mixture", "components": 100}}, STL),
    "vamp": ({**ONE_LEVEL, "prior": VAMP}, {**STL, "epochs": 70}),
    "flow_prior": ({**ONE_LEVEL, "prior": FLOW}, STL),
    "flow_guide": ({**ONE_LEVEL, "guide": {"kind": "flow", "transforms": 2, "hidden_dims": (256,)}}, ANNEALED),
    "two_levels_vamp": (two_levels(VAMP), {**SLOWLY, "epochs": 75}),
    "two_levels_flow_prior": (two_levels(FLOW), SLOWLY),
    "iwae_5_dreg": (ONE_LEVEL, {"epochs": 50, "objective": {"kind": "iwae", "num_particles": 5, "gradient": "dreg"}}),
}
ROWS, PARTICLES = 2000, 1000
COLUMNS = ("log_marginal", "elbo", "pareto_k", "refined", "refined_pareto_k")


def train(name: str, x: np.ndarray, validation: np.ndarray) -> Run:
    """The model of that name, fitted."""
    model, training = MODELS[name]
    return fit(VAE(**NET, **model, seed=0), x, validation=validation, seed=0, **{**TRAINING, **training})


def test_rows(test: np.ndarray) -> np.ndarray:
    """The same random rows for every model."""
    return test[np.sort(np.random.default_rng(0).permutation(len(test))[:ROWS])]


def evaluated(folder: Path, x: np.ndarray) -> dict[str, np.ndarray]:
    """What `COLUMNS` name of each row, from a file beside the model where they are there already."""
    file = folder / "evidence.npz"
    if not file.exists():
        plain, refined = (
            evidence(load(folder), x, num_particles=PARTICLES, proposal=proposal, progress=None)
            for proposal in ("guide", "refined")
        )
        columns = plain.log_marginal, plain.elbo, plain.pareto_k, refined.log_marginal, refined.pareto_k
        np.savez(file, **dict(zip(COLUMNS, columns, strict=True)))
    with np.load(file) as stored:
        return dict(stored)


def said(values: np.ndarray, first: np.ndarray) -> str:
    """The mean, and the mean difference to the first model, each with its standard error."""
    parts = ((part.mean(), part.std(ddof=1) / len(part) ** 0.5) for part in (values, values - first))
    return "".join(f"{mean:>9.2f} ± {error:.2f}" for mean, error in parts)


def print_table(output: Path, x: np.ndarray) -> None:
    """One line for each model that is fitted; differences against the first one, positive where a model is better."""
    done = {name: evaluated(output / name, x) for name in MODELS if (output / name / "minutes.npy").exists()}
    first = next(iter(done.values()))
    print(f"static binarized MNIST, {len(x)} test rows, nats per row")
    heads = (f"IS-{PARTICLES}, guide", "difference", f"IS-{PARTICLES}, refined", "difference")
    print(f"{'model':<22}" + "".join(f"{head:>16}" for head in heads) + f"{'ELBO':>9}{'k > 0.7':>14}{'minutes':>9}")
    for name, found in done.items():
        minutes = float(np.load(output / name / "minutes.npy"))
        shares = " / ".join(f"{(found[k] > 0.7).mean():.0%}" for k in ("pareto_k", "refined_pareto_k"))
        numbers = "".join(said(found[column], first[column]) for column in ("log_marginal", "refined"))
        print(f"{name:<22}{numbers}{found['elbo'].mean():>9.2f}{shares:>14}{minutes:>9.1f}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit what is asked for and print the table of all that is fitted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a .npz of arrays train, valid and test, rows packed by numpy.packbits")
    parser.add_argument(
        "models", nargs="*", choices=[*MODELS, []], help="which to fit; by default all that are not yet"
    )
    parser.add_argument("--output", type=Path, default=Path("runs/mnist"), help="folder of the fitted models")
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
    print_table(options.output, test_rows(splits.test))


if __name__ == "__main__":
    main()
