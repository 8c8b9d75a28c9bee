"""Normalising constants in float32 against SciPy, where log gamma functions are large."""

import numpy as np
import pytest
import scipy.stats
import torch

from pyro_vae.likelihoods import Beta
from pyro_vae.long_tails import StudentT, log_beta
from pyro_vae.priors import PRIORS


@pytest.mark.parametrize("df", [1.5, 5.0, 1e4, 1e6, 1e7])
@pytest.mark.parametrize("x", [0.0, 3.0])
def test_the_student_t_is_scipys(df: float, x: float) -> None:
    """torch's own gives 0 at df = 1e7, x = 0, and -5.49998 at 1e6, 3 for -5.41892."""
    t = StudentT(torch.tensor(df), torch.tensor(0.0), torch.tensor(1.0))
    assert float(t.log_prob(torch.tensor(x))) == pytest.approx(
        scipy.stats.t.logpdf(x, df), abs=1e-5
    )


def test_its_gradients_are_those_of_torch_in_float64() -> None:
    found = []
    expected = []
    for kind, dtype, gradients in (
        (StudentT, torch.float32, found),
        (torch.distributions.StudentT, torch.float64, expected),
    ):
        parts = [
            torch.tensor(value, dtype=dtype, requires_grad=True)
            for value in (7.0, 0.5, 2.0)
        ]
        kind(*parts).log_prob(torch.tensor(3.0, dtype=dtype)).backward()
        gradients += [float(part.grad) for part in parts]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_prior_has_it_too() -> None:
    prior = PRIORS["student_t"](2, df=1e6)()
    assert float(prior.log_prob(torch.zeros(2))) == pytest.approx(
        2 * scipy.stats.t.logpdf(0, 1e6), abs=1e-5
    )


@pytest.mark.parametrize("concentration", [2.0, 1e4, 1e6])
def test_the_beta_is_scipys(concentration: float) -> None:
    """torch's own is 4.719 for 4.726 at Beta(1e4, 1e4), and 6 for 7.029 at Beta(1e6, 1e6)."""
    row = Beta((1,), concentration=2 * concentration)(torch.zeros(1))
    a = float(row.base_dist.concentration1)
    b = float(row.base_dist.concentration0)
    expected = scipy.stats.beta.logpdf(0.5, a, b)
    assert float(row.log_prob(torch.tensor([0.5]))) == pytest.approx(expected, abs=1e-5)


def test_log_beta_is_scipys() -> None:
    for a, b in ((0.5, 3.0), (1e4, 2e4), (1e6, 1.0)):
        found = float(log_beta(torch.tensor(a), torch.tensor(b)))
        assert found == pytest.approx(scipy.special.betaln(a, b), abs=1e-8)
