"""Which unusual rows log p(x) and typicality detect, on digits: `python -m benchmarks.anomaly`.

One model of 1000 digits. For 200 held-out digits and for unusual rows of several kinds: the area
under the ROC curve of -log p(x) against the held-out digits, and the shares of rows with p-values
up to 0.05 by 300 reference digits. By definition the share of ordinary digits is about 0.05, and
their area 0.5.
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

import pyro_vae as pv

HEADER = f"{'rows':<34} {'area':>6} {'p <= 0.05':>10} {'typical p <= 0.05':>18} {'trusted':>8}"


def unusual(
    ordinary: np.ndarray, fitted: np.ndarray, seed: int = 0
) -> dict[str, np.ndarray]:
    """Rows of several kinds, made from ordinary digits or from nothing."""
    rng = np.random.default_rng(seed)
    images = ordinary.reshape(-1, 8, 8)
    return {
        "held-out digits": ordinary,
        "turned by 90 degrees": np.rot90(images, axes=(1, 2)).reshape(-1, 64).copy(),
        "mirrored": images[:, :, ::-1].reshape(-1, 64).copy(),
        "half the contrast": (ordinary / 2).round(),
        "one column of pixels to the right": np.roll(images, 1, axis=2).reshape(-1, 64),
        "uniform noise": rng.integers(0, 17, ordinary.shape).astype(np.float32),
        "the mean of all digits": np.tile(fitted.mean(0).round(), (2, 1)),
        "empty images": np.zeros((2, 64), np.float32),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=100)
    options = parser.parse_args()
    x = load_digits().data.astype(np.float32)
    order = np.random.default_rng(0).permutation(len(x))
    fitted, reference, ordinary = np.split(x[order][:1500], [1000, 1300])
    likelihood = {"kind": "binomial", "total_count": 16}
    vae = pv.VAE(data_shape=(64,), latent_dim=8, likelihood=likelihood, denoise=0.3)
    pv.fit(vae, fitted, epochs=options.epochs, lr=2e-3)
    print(HEADER)
    of_ordinary: np.ndarray | None = None
    for name, rows in unusual(ordinary, fitted).items():
        found = pv.anomaly(vae, rows, reference=reference, shares=False)
        if of_ordinary is None:
            of_ordinary = found.log_marginal
        print(line(name, found, of_ordinary), flush=True)


def line(name: str, found: pv.Anomaly, of_ordinary: np.ndarray) -> str:
    """One line of the table; `of_ordinary` is log p(x) of the held-out digits."""
    labels = np.repeat([0, 1], [len(of_ordinary), len(found)])
    log_marginal = np.concatenate([of_ordinary, found.log_marginal])
    area = roc_auc_score(labels, -log_marginal)
    unlikely = (found.p_value <= 0.05).mean()
    untypical = (found.typicality_p_value <= 0.05).mean()
    trusted = found.trusted.mean()
    return f"{name:<34} {area:6.3f} {unlikely:10.2f} {untypical:18.2f} {trusted:8.2f}"


if __name__ == "__main__":
    main()
