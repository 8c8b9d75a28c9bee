"""The benchmark of all defaults: its two normals are SciPy's, and its rows are the command's."""

from functools import partial

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from benchmarks import defaults
from pyro_vae import fit

X = (
    np.random.default_rng(0).normal(size=(60, 3))
    @ np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 2.0]])
    + 7
)


def test_the_normals_are_those_of_scipy():
    train, test = X[:45], X[45:]
    alone = sum(
        norm.logpdf(test[:, i], train[:, i].mean(), train[:, i].std()) for i in range(3)
    )
    together = multivariate_normal(train.mean(0), np.cov(train.T, bias=True)).logpdf(
        test
    )
    assert defaults.independent_normals(train, test) == pytest.approx(
        alone.mean(), rel=1e-12
    )
    assert defaults.full_normal(train, test) == pytest.approx(together.mean(), rel=1e-9)


def test_the_units_of_a_column_change_no_difference():
    train, test, units = X[:45], X[45:], np.array([1e-8, 1.0, 1e8])
    one = defaults.full_normal(train, test) - defaults.independent_normals(train, test)
    other = defaults.full_normal(
        train * units, test * units
    ) - defaults.independent_normals(train * units, test * units)
    assert other == pytest.approx(one, rel=1e-6)


def test_a_line_of_the_table(monkeypatch):
    monkeypatch.setattr(defaults, "fit", partial(fit, epochs=2))
    found = defaults.measure(X, 0)
    assert (found.epochs, len(defaults.split(X, 0)[1])) == (2, 12)
    line = defaults.line("some", X, [found, found])
    assert line.startswith("some")
    assert f"{found.model - found.full:+.2f}" in line
