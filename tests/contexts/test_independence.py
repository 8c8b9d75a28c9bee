"""`independence` against known information, and the option that asks for it."""

import numpy as np
import pandas as pd
import pytest
import torch

import pyro_vae as pv
from pyro_vae.objectives import ELBO
from pyro_vae.objectives.independent import Independent, alignment
from tests.contexts.linear import Linear, W, s


@pytest.mark.parametrize("prior", [True, False])
def test_the_bound_is_close_to_known_information(prior: bool) -> None:
    # x moves by k c₀ W₀, which the posterior mean of u follows, and nothing else depends on c
    truth = Linear(prior)
    x, c = truth.drawn(1000)
    moved = x + 2.0 * c[:, :1] * W[:, 0]
    found = pv.independence(truth.vae(), moved, context=c)
    slope = 2.0 * truth.variance[0] * (W[:, 0] @ W[:, 0]) / s**2 / truth.t[0]
    exact = 0.5 * np.log1p(slope**2)  # u₀ = N(0, 1) + slope c₀
    first, *others = found.columns_told
    assert exact - 0.15 < first.information < exact + 3 * first.se
    assert first.is_told
    assert not any(told.is_told for told in others)
    assert not found.independent


def test_nothing_is_found_in_the_codes_of_the_truth() -> None:
    truth = Linear(True)
    x, c = truth.drawn(1000)
    assert pv.independence(truth.vae(), x, context=c).independent


def test_levels() -> None:
    rng = np.random.default_rng(0)
    level = rng.integers(0, 3, 600)
    x = (rng.normal(size=(600, 4)) + 3.0 * (level[:, None] == 2)).astype(np.float32)
    vae = pv.VAE(data_shape=(4,), latent_dim=2, context={"label": 3}, hidden_dims=(8,))
    weight = vae.posterior.family.head.weight
    with torch.no_grad():
        weight.mul_(20.0)
        vae.prior.head.weight.zero_()
    found = pv.independence(vae, x, context=level[:, None].astype(float))
    (told,) = found.columns_told
    assert told.is_level
    assert told.chance == pytest.approx(np.bincount(level).max() / 600)
    assert told.is_told
    assert told.score > told.chance + 0.1
    assert told.information < np.log(3.0)
    noise = pv.independence(
        vae, x, context=rng.permutation(level)[:, None].astype(float)
    )
    assert noise.columns_told[0].information < told.information


KIND = {"batch": "categorical"}


@pytest.mark.parametrize("common", [57, 0])
def test_levels_of_few_rows_say_nothing(common: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 4, generator=generator)
    level = torch.cat([torch.arange(common) % 2, torch.arange(2, 62 - common)])
    fields = {"dim": 1, "table": pv.data.table(_named(level), columns=KIND).schema}
    vae = pv.VAE(data_shape=(4,), latent_dim=2, context=fields, hidden_dims=(4,))
    found = pv.independence(vae, x, context=_named(level))
    gains = found.columns_told[0].gains
    assert (gains[common:] == 0).all()
    assert gains[:common].any() == (common > 0)


def _named(level: torch.Tensor) -> pd.DataFrame:
    return pd.DataFrame({"batch": [f"level {one}" for one in level.tolist()]})


def test_alignment_is_that_of_independent_and_equal_points() -> None:
    generator = torch.Generator().manual_seed(0)
    u = torch.randn(400, 2, generator=generator)
    v = torch.randn(400, 2, generator=generator)
    assert alignment(u, u) == pytest.approx(1.0, abs=1e-5)
    assert alignment(u, v) < 0.05  # 0 but for its bias, of order 1 / √n
    # the definition, with H K H for the centred kernel
    centre = torch.eye(400) - 1 / 400
    kernels = [torch.exp(-torch.cdist(one, one).square() / 4) for one in (u, u + v)]
    a, b = (centre @ kernel @ centre for kernel in kernels)
    expected = (a * b).sum() / (a.norm() * b.norm())
    torch.testing.assert_close(alignment(u, u + v), expected, atol=1e-4, rtol=1e-4)


def test_the_term_is_its_weight_times_the_alignment() -> None:
    vae = pv.VAE(data_shape=(4,), latent_dim=2, context={"dim": 1}, hidden_dims=(8,))
    whole = torch.randn(30, 5, generator=torch.Generator().manual_seed(0))
    x, c = vae.model.split(whole)
    torch.manual_seed(0)
    plain = ELBO()(vae.model, vae.guide, whole).loss
    given = vae.given(c)
    u = given.posterior(x).rsample()
    torch.manual_seed(0)
    loss = Independent(inner=ELBO(), weight=7.0)(vae.model, vae.guide, whole).loss
    # of the prior at the start u is z, and e(c) is c
    torch.testing.assert_close(loss, plain + 7.0 * alignment(u, c))


def test_codes_that_are_asked_for_it_tell_less() -> None:
    rng = np.random.default_rng(0)
    c = rng.integers(0, 2, 800)
    factors = rng.normal(size=(800, 2))
    waves = np.sin(factors @ rng.normal(size=(2, 8)))
    x = np.tanh(factors @ rng.normal(size=(2, 8))) * (1 + c[:, None])
    x = (x + 2 * c[:, None] * waves + 0.2 * rng.normal(size=x.shape)).astype(np.float32)
    context = c[:, None].astype(float)
    found = []
    for weight in (0.0, 30.0):
        vae = pv.VAE(
            data_shape=(8,),
            latent_dim=4,
            hidden_dims=(32,),
            context={"dim": 1, "prior": False, "independence": weight},
        )
        pv.fit(vae, x, context=context, epochs=40, progress=False)
        found.append(pv.independence(vae, x, context=context).columns_told[0])
    assert found[0].is_told
    assert found[1].information < 0.5 * found[0].information


def test_independence_of_a_label_is_refused() -> None:
    with pytest.raises(ValueError, match="independence of a context without a label"):
        pv.VAE(data_shape=(4,), context={"label": 3, "independence": 1.0})


def test_few_rows_are_refused() -> None:
    truth = Linear(True)
    x, c = truth.drawn(20)
    with pytest.raises(ValueError, match="at least 50 rows"):
        pv.independence(truth.vae(), x, context=c)
