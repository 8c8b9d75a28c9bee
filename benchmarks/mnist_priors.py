"""Priors, guides and objectives on the static binarized MNIST, one by one, beside N(0, I).

    python -m benchmarks.mnist_priors binarized_mnist.npz --output runs/mnist       # all: two hours
    python -m benchmarks.mnist_priors binarized_mnist.npz --output runs/mnist vamp  # one of them

The net of Tomczak and Welling (2018, VAE with a VampPrior), 784-300-300-40 of gated layers, 40
latent variables on each level; one learning rate, batch size and seed for all, and a quarter of an
hour on two cores at most. With two levels the encoder sees slightly corrupted rows, and the warm-up
is longer. The gradient is sticking the landing's, and DReG's for the IWAE; the flow guide, which
would be inverted for it, has the plain one. The weights are averaged and the epoch is chosen on
validation rows. log p(x) is importance sampling with 1000 draws on the same 2000 random test rows,
from the guide and as `evidence` does it by default; the differences are paired.
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pyro_vae import VAE, evidence, fit, load, save
from pyro_vae.data import Splits, load_splits
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
    "guide": {
        "kind": "hierarchical",
        "top_dim": 40,
        "direction": "top_down",
        "hidden_dim": 300,
    },
}
ANNEALED: dict[str, Any] = {"kl_warmup_epochs": 10}
STL: dict[str, Any] = {**ANNEALED, "objective": {"kind": "elbo", "gradient": "stl"}}
SLOWLY: dict[str, Any] = {**STL, "epochs": 100, "kl_warmup_epochs": 25}


def two_levels(top: dict[str, Any] | str) -> dict[str, Any]:
    """p(z₂) p(z₁ | z₂) with 40 latent variables on each level."""
    return {
        **TWO_LEVELS,
        "prior": {
            "kind": "hierarchical",
            "top_dim": 40,
            "top": top,
            "hidden_dims": (300, 300),
        },
    }


VAMP = {"kind": "vamp", "pseudo_inputs": 500}
FLOW = {
    "kind": "flow",
    "transform": "coupling",
    "transforms": 8,
    "hidden_dims": (128, 128),
}
MODELS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "standard_normal": (ONE_LEVEL, STL),
    "mixture": ({**ONE_LEVEL, "prior": {"kind": "mixture", "components": 100}}, STL),
    "vamp": ({**ONE_LEVEL, "prior": VAMP}, {**STL, "epochs": 70}),
    "flow_prior": ({**ONE_LEVEL, "prior": FLOW}, STL),
    "flow_guide": (
        {
            **ONE_LEVEL,
            "guide": {"kind": "flow", "transforms": 2, "hidden_dims": (256,)},
        },
        ANNEALED,
    ),
    "two_levels_vamp": (two_levels(VAMP), {**SLOWLY, "epochs": 75}),
    "two_levels_flow_prior": (two_levels(FLOW), SLOWLY),
    "iwae_5_dreg": (
        ONE_LEVEL,
        {
            "epochs": 50,
            "objective": {"kind": "iwae", "num_particles": 5, "gradient": "dreg"},
        },
    ),
}
ROWS = 2000
PARTICLES = 1000
COLUMNS = ("log_marginal", "elbo", "pareto_k", "trusted", "method")


def train(name: str, x: np.ndarray, validation: np.ndarray) -> Run:
    """The model of that name, fitted."""
    model, training = MODELS[name]
    vae = VAE(**NET, **model, seed=0)
    return fit(vae, x, validation=validation, seed=0, **{**TRAINING, **training})


def test_rows(test: np.ndarray) -> np.ndarray:
    """The same random rows for every model."""
    order = np.random.default_rng(0).permutation(len(test))
    return test[np.sort(order[:ROWS])]


def evaluated(folder: Path, x: np.ndarray, proposal: str) -> dict[str, np.ndarray]:
    """The columns of the evidence, which are computed once and stored beside the model."""
    file = folder / f"{proposal}.npz"
    if not file.exists():
        options: dict[str, Any] = {} if proposal == "auto" else {"proposal": proposal}
        found = evidence(
            load(folder), x, num_particles=PARTICLES, progress=None, **options
        )
        columns = {name: getattr(found, name) for name in COLUMNS}
        np.savez(file, seconds=found.seconds, **columns)
    with np.load(file) as stored:
        return dict(stored)


def mean_with_error(values: np.ndarray) -> str:
    """The mean with its standard error."""
    error = values.std(ddof=1) / len(values) ** 0.5
    return f"{values.mean():>9.2f} ± {error:.2f}"


def print_table(
    output: Path, names: Sequence[str], x: np.ndarray, proposal: str
) -> None:
    """One line for each fitted model; differences to the first are positive for better models."""
    sampling = f"IS-{PARTICLES} from proposal {proposal!r}"
    print(f"\nstatic binarized MNIST, {len(x)} test rows, {sampling}, nats per row")
    print(HEADER, flush=True)
    first = None
    for name in names:
        folder = output / name
        if not (folder / "minutes.npy").exists():
            continue
        found = evaluated(folder, x, proposal)
        if first is None:
            first = found["log_marginal"]
        minutes = float(np.load(folder / "minutes.npy"))
        print(line(name, found, first, minutes), flush=True)


HEADER = (
    f"{'model':<22}{'log p(x)':>16}{'difference':>16}{'ELBO':>9}"
    f"{'k > 0.7':>9}{'trusted':>9}{'seconds':>9}{'minutes':>9}"
)


def line(
    name: str, found: dict[str, np.ndarray], first: np.ndarray, minutes: float
) -> str:
    """One line of the table; `first` is log p(x) under the first model."""
    log_marginal = found["log_marginal"]
    cells = [
        f"{name:<22}",
        mean_with_error(log_marginal),
        mean_with_error(log_marginal - first),
        f"{found['elbo'].mean():>9.2f}",
        f"{(found['pareto_k'] > 0.7).mean():>9.1%}",
        f"{found['trusted'].mean():>9.1%}",
        f"{float(found['seconds']):>9.0f}",
        f"{minutes:>9.1f}",
    ]
    return "".join(cells)


def train_missing(names: Iterable[str], output: Path, splits: Splits) -> None:
    """Fit and save the models that aren't in `output` yet."""
    assert splits.valid is not None
    for name in names:
        folder = output / name
        if (folder / "minutes.npy").exists():
            continue
        print(name, flush=True)
        run = train(name, splits.train, splits.valid)
        save(run.vae, folder, overwrite=True)
        np.save(folder / "minutes.npy", sum(row["seconds"] for row in run.history) / 60)
        print(
            f"best epoch {run.best_epoch}, {run.history[run.best_epoch - 1]}",
            flush=True,
        )


def make_parser() -> argparse.ArgumentParser:
    """The arguments of the command line."""
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
        "--proposals",
        nargs="*",
        default=["guide", "auto"],
        help="a table each (default: both)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("runs/mnist"),
        help="folder of the fitted models",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit what is asked for and print the table of all that is fitted."""
    options = make_parser().parse_args(arguments)
    names = options.models or list(MODELS)
    splits = load_splits(options.data, packed_bits=True)
    assert splits.test is not None
    train_missing(names, options.output, splits)
    for proposal in options.proposals:
        print_table(options.output, names, test_rows(splits.test), proposal)


if __name__ == "__main__":
    main()
