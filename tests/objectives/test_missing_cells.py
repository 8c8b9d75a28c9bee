"""Objectives and evidence of rows with missing cells, where log p(x_observed) is known exactly."""

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, Trace_ELBO
from pyro.optim import Adam
from torch import nn
from torch.distributions import MultivariateNormal

from pyro_vae import VAE, evidence, fit
from pyro_vae.objectives import ELBO, IWAE, Renyi

D, LATENT, ROWS = 6, 2, 300
NAN = float("nan")


class Linear:
    """x = W z + μ + ε with ε ~ N(0, Ψ), Ψ diagonal: N(μ_o, (W Wᵀ + Ψ)_oo) for the cells o."""

    def __init__(self, seed=0):
        random = torch.Generator().manual_seed(seed)
        draw = torch.randn(D, LATENT + 1, generator=random, dtype=torch.float64)
        self.weight = draw[:, :-1]
        self.bias = 3 * draw[:, -1]
        self.scale = torch.linspace(0.3, 1.2, D, dtype=torch.float64)
        noise = torch.randn(ROWS, D, generator=random, dtype=torch.float64)
        z = torch.randn(ROWS, LATENT, generator=random, dtype=torch.float64)
        rows = z @ self.weight.T + self.bias + self.scale * noise
        mask = torch.rand(ROWS, D, generator=random) < 0.4
        self.rows = rows.masked_fill(mask, NAN)

    def marginal(self, cells):
        covariance = self.weight @ self.weight.T + torch.diag(self.scale.square())
        return MultivariateNormal(self.bias[cells], covariance[cells][:, cells])

    def exact(self, rows=None):
        """log p(x_observed) of each row."""
        found = []
        for row in self.rows if rows is None else rows:
            cells = ~row.isnan()
            if cells.any():
                found.append(self.marginal(cells).log_prob(row[cells]))
            else:
                found.append(row.new_zeros(()))
        return torch.stack(found)

    def vae(self, guide):
        """The model; its guide is a module, or a kind with a network of its own."""
        fields = {"hidden_dims": (16,)} if isinstance(guide, str) else {}
        model = VAE(
            data_shape=(D,),
            latent_dim=LATENT,
            likelihood={"kind": "normal", "scale": "per_feature"},
            decoder=nn.Linear(LATENT, D).double(),
            guide=guide,
            missing="at_random",
            **fields,
        ).double()
        decoder, family = model.likelihood.decoder, model.likelihood.family
        with torch.no_grad():
            unit = self.scale / family.scale(torch.ones(D).double())
            family.std.copy_(unit)  # of the scale, and of what the decoder gives
            decoder.weight.copy_(self.weight / unit.unsqueeze(1))
            decoder.bias.copy_(self.bias / unit)
        return model


class Posterior(nn.Module):
    """p(z | x_observed) = N(M⁻¹ W_oᵀ Ψ_o⁻¹ (x_o - μ_o), M⁻¹), M = I + W_oᵀ Ψ_o⁻¹ W_o."""

    def __init__(self, truth, widen=1.0):
        super().__init__()
        self.truth = truth
        self.widen = widen

    def forward(self, x):
        truth = self.truth
        precision = (~x.isnan()).double() / truth.scale.square()
        residual = torch.where(x.isnan(), 0.0, x.double() - truth.bias)
        m = torch.einsum("di,nd,dj->nij", truth.weight, precision, truth.weight)
        m = m + torch.eye(LATENT)
        covariance = torch.linalg.inv(m)
        loc = torch.einsum(
            "nij,dj,nd->ni", covariance, truth.weight, precision * residual
        )
        return dist.MultivariateNormal(loc, self.widen**2 * covariance)


TRUTH = Linear()
OBJECTIVES = {
    "elbo": ELBO(),
    "elbo, monte carlo": ELBO(kl="monte_carlo", num_particles=3),
    "elbo, stl": ELBO(gradient="stl"),
    "iwae": IWAE(num_particles=5),
    "iwae, stl": IWAE(num_particles=5, gradient="stl"),
    "renyi": Renyi(alpha=0.5, num_particles=4),
}


@pytest.mark.parametrize("name", sorted(set(OBJECTIVES) - {"elbo"}))
def test_with_the_exact_posterior_each_bound_is_log_p_of_the_observed_cells(name):
    vae = TRUTH.vae(Posterior(TRUTH))
    terms = OBJECTIVES[name](vae.model, vae.guide, TRUTH.rows)
    torch.testing.assert_close(-terms.loss, TRUTH.exact(), rtol=1e-9, atol=1e-9)


def test_the_analytic_elbo_is_log_p_on_average():
    vae = TRUTH.vae(Posterior(TRUTH))
    torch.manual_seed(0)
    with torch.no_grad():
        found = ELBO(num_particles=4000)(vae.model, vae.guide, TRUTH.rows[:50]).elbo
    assert float((found - TRUTH.exact()[:50]).mean()) == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradients_are_finite(name):
    vae = TRUTH.vae("mean_field")
    OBJECTIVES[name](vae.model, vae.guide, TRUTH.rows).loss.mean().backward()
    for weight in vae.parameters():
        assert weight.grad is not None
        assert weight.grad.isfinite().all()


def test_free_bits_count_the_same_rate():
    vae = TRUTH.vae("mean_field")
    torch.manual_seed(0)
    plain = ELBO()(vae.model, vae.guide, TRUTH.rows)
    torch.manual_seed(0)
    free = ELBO(free_bits=2.0)(vae.model, vae.guide, TRUTH.rows)
    torch.testing.assert_close(plain.elbo, free.elbo)
    assert (free.loss >= plain.loss).all()


@pytest.mark.slow
@pytest.mark.parametrize("how", [{}, {"proposal": "guide"}, {"proposal": "refined"}])
def test_evidence_of_the_observed_cells(how):
    vae = TRUTH.vae(Posterior(TRUTH, widen=1.5))
    found = evidence(vae, TRUTH.rows, num_particles=500, progress=False, **how)
    exact = TRUTH.exact().numpy()
    within = np.abs(found.log_marginal - exact) <= 3 * found.se + 1e-9
    assert within.mean() >= 0.99
    assert found.n_observed.tolist() == (~TRUTH.rows.isnan()).sum(1).tolist()
    cells = found.n_observed.sum()
    assert found.bits_per_dim == pytest.approx(
        -found.log_marginal.sum() / cells / math.log(2)
    )
    table = found.to_dataframe()
    assert table["per_cell"].iloc[0] == pytest.approx(
        found.log_marginal[0] / found.n_observed[0]
    )


@pytest.mark.slow
def test_evidence_of_columns_given_others():
    vae = TRUTH.vae(Posterior(TRUTH, widen=1.5))
    rows = TRUTH.rows
    of_a, of_b = [0, 4, 5], [1, 3]
    found = evidence(
        vae, rows, num_particles=500, columns=of_a, given=of_b, progress=False
    )
    joint = torch.full_like(rows, NAN)
    joint[:, of_a + of_b] = rows[:, of_a + of_b]
    condition = torch.full_like(rows, NAN)
    condition[:, of_b] = rows[:, of_b]
    exact = (TRUTH.exact(joint) - TRUTH.exact(condition)).numpy()
    within = np.abs(found.log_marginal - exact) <= 3 * found.se + 1e-9
    assert within.mean() >= 0.99
    assert (found.log_marginal[found.n_observed == 0] == 0).all()
    assert (found.se[found.n_observed == 0] == 0).all()
    assert str(found.measure) == "density of columns 0, 4:6, given columns 1, 3"
    assert found.data_size == 3
    assert "ELBO" not in found.summary()


def test_the_rest_is_what_is_not_given():
    vae = TRUTH.vae(Posterior(TRUTH))
    rows = TRUTH.rows[:20]
    rest = evidence(vae, rows, given=[1, 3], num_particles=50, progress=False)
    named = evidence(
        vae, rows, columns=[0, 2, 4, 5], given=[1, 3], num_particles=50, progress=False
    )
    assert np.array_equal(rest.log_marginal, named.log_marginal)
    alone = evidence(vae, rows, columns=[2], num_particles=50, progress=False)
    only = torch.full_like(rows, NAN)
    only[:, 2] = rows[:, 2]
    np.testing.assert_allclose(alone.log_marginal, TRUTH.exact(only).numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"columns": [0, 1], "given": [1]},
            "given: expected other columns .* got 1 in both",
        ),
        ({"given": [1, 1]}, "given: expected each column once"),
        ({"given": [9]}, "given: expected a column from 0 to 5, got 9"),
        ({"given": ["age"]}, "given: expected positions of columns"),
        ({"given": range(D)}, "given: expected at least one column that is not given"),
    ],
)
def test_columns_that_make_no_sense(options, message):
    vae = TRUTH.vae(Posterior(TRUTH))
    with pytest.raises(ValueError, match=message):
        evidence(vae, TRUTH.rows[:3], num_particles=30, **options)


def test_columns_need_a_model_that_knows_missing_cells():
    vae = VAE(data_shape=(3,), latent_dim=1)
    with pytest.raises(ValueError, match="missing='at_random'"):
        evidence(vae, torch.zeros(3, 3), given=[0])


def test_a_row_without_an_observed_cell_has_log_p_zero():
    vae = TRUTH.vae("mean_field")
    rows = torch.cat([TRUTH.rows[:2], torch.full((1, D), NAN).double()])
    for how in ({}, {"proposal": "guide"}):
        found = evidence(vae, rows, num_particles=100, progress=False, **how)
        assert found.log_marginal[2] == 0
        assert found.se[2] == 0
        assert found.trusted[2]
    assert "1 rows have none" in found.summary()


def test_the_model_is_an_ordinary_pyro_program():
    """Two sites, whose values are the rows as they are; Pyro's own losses take it."""
    vae = TRUTH.vae(Posterior(TRUTH))
    with pyro.settings.context(module_local_params=True):
        trace = pyro.poutine.trace(vae.model).get_trace(TRUTH.rows)
        names = [name for name, site in trace.nodes.items() if site["type"] == "sample"]
        assert names == ["data", "z", "x"]
        value = trace.nodes["x"]["value"]
        assert torch.equal(value.isnan(), TRUTH.rows.isnan())
        assert trace.log_prob_sum().isfinite()
        loss = Trace_ELBO(num_particles=1).loss(vae.model, vae.guide, TRUTH.rows)
    assert loss == pytest.approx(-float(TRUTH.exact().sum()), abs=1e-6)


def test_svi_trains_it():
    vae = TRUTH.vae("mean_field")
    svi = SVI(vae.model, vae.guide, Adam({"lr": 1e-2}), Trace_ELBO())
    before = svi.evaluate_loss(TRUTH.rows)
    for _ in range(50):
        svi.step(TRUTH.rows)
    assert svi.evaluate_loss(TRUTH.rows) < before
    pyro.clear_param_store()


@pytest.mark.slow
def test_fit_finds_the_model():
    """The fitted model is as good as the truth on the rows that it was fitted to."""
    vae = VAE(
        data_shape=(D,),
        latent_dim=LATENT,
        decoder=nn.Linear(LATENT, D),
        hidden_dims=(32,),
        missing="at_random",
    )
    rows = TRUTH.rows.float()
    run = fit(vae, rows, epochs=300, lr=5e-3, progress=False)
    assert run.options.objective.kind == "iwae"
    assert run.options.objective.num_particles == 5
    found = evidence(vae, rows, num_particles=200, progress=False).mean_log_marginal
    alone = float(vae.likelihood.independent().log_prob(rows).mean())
    truth = float(TRUTH.exact().mean())
    assert alone < truth - 0.3
    assert found == pytest.approx(truth, abs=0.15)
