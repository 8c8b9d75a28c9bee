"""Frey faces, 1965 frames of a film, 28 x 20 pixels of 256 levels: a normal against a discretized
logistic likelihood.

    python -m benchmarks.frey frey_faces.npz

The frames follow each other, so the first 1565 are fitted (100 in the middle and 100 at the end of
them choose the epoch) and the last 400 held out: a random split would put neighbours of training
frames into the test. A density of continuous pixels is made comparable with a probability of levels
by uniform noise: E log p(x + u) ≤ log P(x) for u uniform on [0, 1)^560 (Theis, van den Oord,
Bethge, 2016, A Note on the Evaluation of Generative Models).
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from pyro_vae import VAE, evidence, fit
from pyro_vae.data import load_splits

TEST, VALID, PARTICLES = 400, 100, 1000
LIKELIHOODS: dict[str, dict[str, Any]] = {
    "normal, one scale": {"kind": "normal"},
    "normal, a scale a pixel": {"kind": "normal", "scale": "per_feature"},
    "normal, scale from z": {"kind": "normal", "scale": "decoder"},
    "discretized_logistic": {"kind": "discretized_logistic"},
}
MODEL = {"latent_dim": 16, "hidden_dims": (300, 300), "denoise": 0.1}
TRAINING: dict[str, Any] = {
    "epochs": 300,
    "batch_size": 100,
    "lr": 1e-3,
    "kl_warmup_epochs": 10,
    "ema_decay": 0.995,
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="a .npz with an array x of frames")
    levels = load_splits(parser.parse_args().data).train.reshape(-1, 28, 20).astype(np.float32)
    dequantized = levels + np.random.default_rng(0).uniform(size=levels.shape).astype(np.float32)
    print(
        f"Frey faces, {len(levels) - TEST} frames to fit, the last {TEST} held out; IS-{PARTICLES}"
    )
    print(
        f"{'likelihood':<32}{'bits per dim':>13}{'± se':>8}{'log p(x)':>11}{'ELBO':>11}{'k > 0.7':>9}{'seconds':>9}"
    )
    for name, likelihood in LIKELIHOODS.items():
        x = levels if likelihood["kind"] == "discretized_logistic" else dequantized
        before, test = x[:-TEST], x[-TEST:]
        choosing = np.r_[
            len(before) // 2 - VALID : len(before) // 2, len(before) - VALID : len(before)
        ]
        began = time.perf_counter()
        vae = VAE(data_shape=(28, 20), likelihood=likelihood, **MODEL)
        fit(vae, np.delete(before, choosing, 0), validation=before[choosing], **TRAINING)
        seconds = time.perf_counter() - began
        found = evidence(vae, test, num_particles=PARTICLES)
        error = found.mean_log_marginal_se / (x[0].size * np.log(2))
        print(
            f"{name:<32}{found.bits_per_dim:>13.3f}{error:>8.3f}{found.mean_log_marginal:>11.1f}{found.mean_elbo:>11.1f}"
            f"{found.unreliable_share:>9.0%}{seconds:>9.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
