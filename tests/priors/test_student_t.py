"""Independent Student variables."""

import numpy as np
import pytest
import torch
from scipy.stats import t

from pyro_vae.priors import StudentT
from tests.priors.families import build

Z = np.random.default_rng(0).normal(size=(6, 2)) * 3


@pytest.mark.parametrize(("df", "scale"), [(1.0, 1.0), (5.0, 0.5), (30.0, 2.0)])
def test_the_density_is_that_of_scipy(df: float, scale: float) -> None:
    found = StudentT(2, df=df, scale=scale).double()().log_prob(torch.tensor(Z))
    np.testing.assert_allclose(found, t.logpdf(Z, df, scale=scale).sum(1), rtol=1e-10)


def test_learned_numbers_start_at_the_defaults() -> None:
    learned = StudentT(2, df="learned", scale="learned").double()
    fixed = StudentT(2).double()
    assert learned.df().item() == pytest.approx(5, rel=1e-6)
    np.testing.assert_allclose(
        learned().log_prob(torch.tensor(Z)).detach(),
        fixed().log_prob(torch.tensor(Z)),
        1e-6,
    )
    assert sorted(name for name, _ in learned.named_parameters()) == [
        "df.raw",
        "scale.raw",
    ]
    assert not [*fixed.parameters()]


def test_learned_numbers_give_the_density_of_scipy() -> None:
    prior = build("student_t_learned").double().prior
    df = prior.df().item()
    scale = prior.scale().detach().numpy()
    assert scale[0] != scale[1]
    found = prior().log_prob(torch.tensor(Z)).detach()
    np.testing.assert_allclose(found, t.logpdf(Z, df, scale=scale).sum(1), rtol=1e-10)


def test_learned_degrees_of_freedom_stay_above_one() -> None:
    prior = StudentT(2, df="learned")
    prior.df.raw.data.fill_(-100.0)
    assert prior.df().item() == 1
    assert prior().log_prob(torch.zeros(2)).isfinite()
