"""A normal and a discretized logistic likelihood on Frey faces, 28 x 20 pixels of 256 levels.

    python -m benchmarks.frey frey_faces.npz

The 1965 frames of a film follow each other, so the first 1565 are fitted (100 in the middle and 100
at the end of them choose the epoch) and the last 400 held out: a random split would put neighbours
of training frames into the test. A density of continuous pixels is made comparable with a
probability of levels by uniform noise: E log p(x + u) ≤ log P(x) for u uniform on [0, 1)^560
(Theis, van den Oord, Bethge, 2016, A Note on the Evaluation of Generative Models).
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from pyro_vae import VAE, evidence, fit
from pyro_vae.data import load_splits

TEST = 400
VALID = 100
PARTICLES = 1000
LIKELIHOODS: dict[str, dict[str, Any]] = {
    "normal, one scale": {"kind": "normal"},
    "normal, a scale a pixel": {"kind": "normal", "scale": "per_feature"},
    "normal, scale from z": {"kind": "normal", "scale": "decoder"},
    "discretized_logistic": {"kind": "discretized_logistic"},
}
MODEL: dict[str, Any] = {"latent_dim": 16, "hidden_dims": (300, 300), "denoise": 0.1}
TRAINING: dict[str, Any] = {
    "epochs": 300,
    "batch_size": 100,
    "lr": 1e-3,
    "kl_warmup_epochs": 10,
    "ema_decay": 0.995,
}


HEADER = (
    f"{'likelihood':<32}{'bits per dim':>13}{'± se':>8}"
    f"{'log p(x)':>11}{'ELBO':>11}{'k > 0.7':>9}{'seconds':>9}"
)


def line(name: str, likelihood: dict[str, Any], x: np.ndarray) -> str:
    """Fit a model, and one line of the table."""
    before = x[:-TEST]
    test = x[-TEST:]
    end = len(before)
    middle = end // 2
    choosing = np.r_[middle - VALID : middle, end - VALID : end]
    train = np.delete(before, choosing, 0)
    began = time.perf_counter()
    vae = VAE(data_shape=(28, 20), likelihood=likelihood, **MODEL)
    fit(vae, train, validation=before[choosing], **TRAINING)
    seconds = time.perf_counter() - began
    found = evidence(vae, test, num_particles=PARTICLES)
    error = found.mean_log_marginal_se / (x[0].size * np.log(2))
    cells = [
        f"{name:<32}{found.bits_per_dim:>13.3f}{error:>8.3f}",
        f"{found.mean_log_marginal:>11.1f}{found.mean_elbo:>11.1f}",
        f"{found.unreliable_share:>9.0%}{seconds:>9.0f}",
    ]
    return "".join(cells)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="a .npz with an array x of frames")
    options = parser.parse_args()
    levels = load_splits(options.data).train.reshape(-1, 28, 20).astype(np.float32)
    noise = np.random.default_rng(0).uniform(size=levels.shape).astype(np.float32)
    fitted = len(levels) - TEST
    print(
        f"Frey faces, {fitted} frames to fit, the last {TEST} held out; IS-{PARTICLES}"
    )
    print(HEADER)
    for name, likelihood in LIKELIHOODS.items():
        discrete = likelihood["kind"] == "discretized_logistic"
        x = levels if discrete else levels + noise
        print(line(name, likelihood, x), flush=True)


if __name__ == "__main__":
    main()
