"""What helps against over-fitting, step by step, on 10 000 rows of the static binarized MNIST.

    python -m benchmarks.mnist_overfitting binarized_mnist.npz                  # all: two hours
    python -m benchmarks.mnist_overfitting binarized_mnist.npz "residual blocks"  # one of them

On a fifth of the training rows the two-level model of `benchmarks.mnist_priors` over-fits within a
few minutes, so that each step of a list of remedies can be tried alone. "recipe" is what
`mnist_priors` and `mnist_conv` do: a flow prior on the top level, averaged weights, weight decay
and noise on the encoder's inputs. The other lines change one thing of it each. The best epoch is
chosen on 2000 validation rows; log p(x) is that of 500 others, by the default of `evidence` with
200 draws, and differences are paired. No test row is read.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pyro_vae import VAE, evidence, fit
from pyro_vae.data import load_splits

FLOW: dict[str, Any] = {
    "kind": "flow",
    "transform": "coupling",
    "transforms": 8,
    "hidden_dims": (128, 128),
}
GATED: dict[str, Any] = {"kind": "gated_mlp", "hidden_dims": (300, 300)}
MODEL: dict[str, Any] = {
    "data_shape": (784,),
    "latent_dim": 80,
    "likelihood": "bernoulli",
    "guide": {
        "kind": "hierarchical",
        "top_dim": 40,
        "direction": "top_down",
        "hidden_dim": 300,
    },
    "encoder": GATED,
    "decoder": GATED,
    "standardize": "all",
    "denoise": 0.25,
}
TRAINING: dict[str, Any] = {
    "epochs": 100,
    "compile": "step",
    "batch_size": 250,
    "optimizer": "adamw",
    "optimizer_options": {"eps": 1e-4, "weight_decay": 0.1},
    "lr": 1.5e-3,
    "kl_warmup_epochs": 25,
    "ema_decay": 0.999,
    "objective": {"kind": "elbo", "gradient": "stl"},
    "progress": False,
}
IWAE_AT_THE_END: dict[str, Any] = {
    "epochs": 10,
    "kl_warmup_epochs": 0,
    "lr": 3e-4,
    "objective": {"kind": "iwae", "num_particles": 5, "gradient": "dreg"},
}
NOTHING: dict[str, Any] = {}
LAST_TENTH = "IWAE, DReG for the last tenth"
MIXTURE = "mixture of 3 such models"
TRAIN, CHOICE, SCORED = 10_000, 2000, 500


def prior(top: Any) -> dict[str, Any]:
    """p(z₂) p(z₁ | z₂), with p(z₂) the prior of the top level."""
    return {
        "kind": "hierarchical",
        "top_dim": 40,
        "top": top,
        "hidden_dims": (300, 300),
    }


def networks(network: Mapping[str, Any]) -> dict[str, Any]:
    """Encoder and decoder of one kind."""
    return {"encoder": network, "decoder": network}


CONVOLUTIONS = {"kind": "conv", "channels": (32, 64), "hidden_dims": (300,)}
STEPS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "recipe": (NOTHING, NOTHING),
    "without averaged weights": (NOTHING, {"ema_decay": None}),
    "without weight decay": (
        NOTHING,
        {"optimizer_options": {"eps": 1e-4, "weight_decay": 0.0}},
    ),
    "without noise on inputs": ({"denoise": 0.0}, NOTHING),
    "N(0, I) on top, no flow": ({"prior": prior("standard_normal")}, NOTHING),
    "flow prior of 400 units": (
        {"prior": prior({**FLOW, "hidden_dims": (400, 400)})},
        NOTHING,
    ),
    "gated nets of 500 units": (
        networks({**GATED, "hidden_dims": (500, 500)}),
        NOTHING,
    ),
    "residual blocks": (
        networks({"kind": "residual", "hidden_dims": (300, 300, 300)}),
        NOTHING,
    ),
    "convolutions": (
        {**networks(CONVOLUTIONS), "data_shape": (1, 28, 28)},
        NOTHING,
    ),
}
"""What each line changes of the model and of the training."""
EVERY = [*STEPS, LAST_TENTH, MIXTURE]


def fitted(name: str, rows: Mapping[str, np.ndarray], seed: int) -> VAE:
    """The model of that line."""
    model, training = STEPS[name]
    vae = VAE(**{**MODEL, "prior": prior(FLOW), **model}, seed=seed)
    shaped = {key: each.reshape(-1, *vae.spec.data_shape) for key, each in rows.items()}
    how = {**TRAINING, **training}
    fit(vae, shaped["train"], validation=shaped["choice"], seed=seed, **how)
    return vae


def score(vae: VAE, rows: np.ndarray) -> np.ndarray:
    """log p(x) of each row."""
    x = rows.reshape(-1, *vae.spec.data_shape)
    return evidence(vae, x, num_particles=200, progress=False).log_marginal


def make_parser() -> argparse.ArgumentParser:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="as for benchmarks.mnist_priors")
    parser.add_argument(
        "steps", nargs="*", choices=[*EVERY, []], help="which; by default all"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for each step that is asked for, after that of the recipe."""
    options = make_parser().parse_args(arguments)
    wanted = {"recipe", *(options.steps or EVERY)}
    splits = load_splits(options.data, packed_bits=True)
    assert splits.valid is not None
    rows = {
        "train": splits.train[:TRAIN],
        "choice": splits.valid[:CHOICE],
        "scored": splits.valid[CHOICE : CHOICE + SCORED],
    }
    print(f"{'step':<28}{'log p(x)':>16}{'minus recipe':>16}{'minutes':>9}", flush=True)
    recipe: list[np.ndarray] = []

    def show(name: str, found: np.ndarray, started: float) -> None:
        difference = found - recipe[0]
        minutes = (time.perf_counter() - started) / 60
        print(
            f"{name:<28}{with_error(found):>16}{with_error(difference):>16}{minutes:>9.1f}",
            flush=True,
        )

    for name in (name for name in STEPS if name in wanted):
        started = time.perf_counter()
        vae = fitted(name, rows, seed=0)
        found = score(vae, rows["scored"])
        if not recipe:
            recipe.append(found)
        show(name, found, started)
        if name == "recipe" and LAST_TENTH in wanted:
            started = time.perf_counter()
            show(LAST_TENTH, after_last_tenth(vae, rows), started)
    if MIXTURE in wanted:
        started = time.perf_counter()
        show(MIXTURE, of_mixture(recipe[0], rows), started)


def after_last_tenth(vae: VAE, rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """log p(x) after ten more epochs of the recipe's model, by the importance weighted bound."""
    how = {**TRAINING, **IWAE_AT_THE_END}
    fit(vae, rows["train"], validation=rows["choice"], seed=1, **how)
    return score(vae, rows["scored"])


def of_mixture(first: np.ndarray, rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """log p(x) of a mixture of the recipe's model and two with other seeds."""
    others = [score(fitted("recipe", rows, seed), rows["scored"]) for seed in (1, 2)]
    each = [first, *others]
    return np.logaddexp.reduce(each, 0) - np.log(len(each))


def with_error(values: np.ndarray) -> str:
    """The mean with its standard error."""
    return f"{values.mean():.2f} ± {values.std(ddof=1) / len(values) ** 0.5:.2f}"


if __name__ == "__main__":
    main()
