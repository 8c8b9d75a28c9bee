"""Densities in any unit: log p(c x) = log p(x) - D log c for c from 1e-30 to 1e30."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from pyro_vae import VAE, fit
from pyro_vae.likelihoods import LIKELIHOODS
from pyro_vae.spec import Spec

X = np.random.default_rng(0).normal(size=(60, 3)) @ np.diag([0.5, 1.0, 3.0]) + [
    1.0,
    0.0,
    -2.0,
]
KINDS = [
    {"kind": "normal"},
    {"kind": "normal", "scale": "learned"},
    {"kind": "normal", "scale": "decoder"},
    {"kind": "laplace"},
    {"kind": "laplace", "scale": "learned"},
    {"kind": "student_t"},
    {"kind": "student_t", "scale": "learned"},
    {"kind": "distribution", "name": "Gumbel"},
    {"kind": "gamma"},
    {"kind": "gamma", "concentration": "decoder"},
    {"kind": "log_normal"},
]


def fitted(likelihood, x):
    vae = VAE(data_shape=(3,), latent_dim=2, hidden_dims=(6,), likelihood=likelihood)
    run = fit(
        vae,
        x.astype(np.float32),
        epochs=5,
        batch_size=20,
        lr=1e-2,
        validation=None,
        progress=False,
    )
    z = torch.zeros(len(x), 2)
    with torch.no_grad():
        rows = torch.as_tensor(x.astype(np.float32))
        return (
            vae.likelihood(z).log_prob(rows),
            vae.likelihood.independent().log_prob(rows),
            run.history[-1]["elbo"],
        )


@pytest.mark.slow
@pytest.mark.parametrize("likelihood", KINDS, ids=str)
@pytest.mark.parametrize("power", [-99, 99])
def test_training_and_density_do_not_depend_on_the_unit(likelihood, power):
    """The unit is a power of two, so that rounding is the same; 2^99 is 6e29."""
    x = np.exp(X) if likelihood["kind"] in {"gamma", "log_normal"} else X
    shift = 3 * power * math.log(2)
    for one, other in zip(
        fitted(likelihood, x), fitted(likelihood, x * 2.0**power), strict=True
    ):
        np.testing.assert_allclose(
            np.asarray(other) + shift, np.asarray(one), atol=2e-3, rtol=1e-4
        )


@pytest.mark.parametrize("unit", [1e-30, 1e-19, 1.0, 1e19, 1e30])
@pytest.mark.parametrize(
    "kind", ["normal", "laplace", "student_t", "gamma", "log_normal"]
)
def test_densities_and_gradients_are_those_of_scipy_in_any_unit(kind, unit):
    x = np.float32(unit) * np.exp(X[:, :1]).astype(np.float32)
    built = LIKELIHOODS.build(Spec(data_shape=(1,), likelihood=kind).likelihood, (1,))
    for name in ("std", "mean"):
        if name in dict(built.named_buffers()):
            getattr(built, name).fill_(unit)
    if kind == "log_normal":
        built.start.fill_(math.log(unit))
    raw = torch.zeros(1, requires_grad=True)
    found = built(raw).log_prob(torch.as_tensor(x))
    found.sum().backward()
    wide = x.astype(np.float64)
    scale = float(np.float32(unit))
    oracle = {
        "normal": lambda: stats.norm.logpdf(wide, scale, scale * (1 + 1e-4)),
        "laplace": lambda: stats.laplace.logpdf(wide, scale, scale / math.sqrt(2)),
        "student_t": lambda: stats.t.logpdf(wide, 5, scale, scale),
        "gamma": lambda: stats.gamma.logpdf(wide, 1.0, scale=scale),
        "log_normal": lambda: stats.lognorm.logpdf(wide, 1.0, scale=scale),
    }[kind]()
    np.testing.assert_allclose(
        found.detach().numpy(), oracle.sum(1), rtol=2e-5, atol=2e-5
    )
    assert raw.grad.isfinite().all()
    assert raw.grad.abs().sum() > 0
