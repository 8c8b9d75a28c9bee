"""What every prior keeps: shapes, gradients, copies, an integral of one, and draws that fit."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import pytest
import torch
from scipy.stats import kstest
from torch import Tensor, nn
from torch.distributions import constraints
from torch.func import functional_call

from pyro_vae import ELBO, VAE, evidence
from pyro_vae.priors import PRIORS
from pyro_vae.training import load, save
from tests.priors.families import CASES, DIMS, EACH, ROWS, Wide, build, grid, masses

SIGMAS = 5  # a mean of draws may miss its exact value by this many standard errors
DRAWS = 8000
FIXED = {"standard_normal", "laplace", "student_t"}  # nothing of them is learned
every_case = pytest.mark.parametrize("name", CASES)
every_size = pytest.mark.parametrize(("name", "latent_dim"), EACH)
Z = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))


class LogProb(nn.Module):
    """log p(z) as a module, since what the call gives may compute with the parameters later on."""

    def __init__(self, vae: VAE) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, z: Tensor) -> Tensor:
        return self.vae.prior().log_prob(z)


def test_there_is_a_case_for_every_kind() -> None:
    assert {options["kind"] for options in CASES.values()} == set(PRIORS) - {"flat"}


@every_case
def test_shapes(name: str) -> None:
    p = build(name).prior()
    assert (p.batch_shape, p.event_shape) == ((), (2,))
    for shape in ((), (3,), (2, 3)):
        assert p.sample(torch.Size(shape)).shape == (*shape, 2)
        assert p.log_prob(torch.zeros(*shape, 2)).shape == shape


@every_case
def test_a_plate_may_expand_it(name: str) -> None:
    p = build(name).prior()
    for shape in ((5,), (3, 5)):
        wide = p.expand(torch.Size(shape))
        assert wide.batch_shape == shape
        assert wide.sample().shape == (*shape, 2)
        assert wide.sample(torch.Size([4])).shape == (4, *shape, 2)
        assert torch.equal(wide.log_prob(Z), p.log_prob(Z).expand(shape))
    assert len(p.expand(torch.Size([500])).sample().unique(dim=0)) == 500


@every_case
def test_the_density_of_many_is_that_of_each(name: str) -> None:
    p = build(name).double().prior()
    each = torch.stack([p.log_prob(z) for z in Z.double()])
    torch.testing.assert_close(p.log_prob(Z.double()), each)
    torch.testing.assert_close(
        p.log_prob(Z.double().expand(3, 5, 2)), each.expand(3, 5)
    )


@every_case
def test_the_support_is_every_vector(name: str) -> None:
    p = build(name).prior()
    assert isinstance(p.support, constraints._IndependentConstraint)
    assert p.support.event_dim == 1
    assert p.support.check(p.sample(torch.Size([10]))).all()
    with (
        pyro.validation_enabled(True),
        pytest.raises(ValueError, match="invalid values"),
    ):
        p.log_prob(torch.tensor([torch.nan, 0.0]))


@every_case
def test_the_gradient_of_the_elbo_reaches_every_parameter(name: str) -> None:
    vae = build(name)
    terms = ELBO()(vae.model, vae.guide, ROWS)
    (terms.rate + terms.distortion).mean().backward()
    for parameter, value in vae.named_parameters():
        assert value.grad is not None, parameter
        assert value.grad.isfinite().all(), parameter
        assert value.grad.any(), parameter


@pytest.mark.parametrize("name", sorted(CASES.keys() - FIXED))
def test_the_gradient_of_the_density_is_the_numerical_one(name: str) -> None:
    vae = build(name).double()
    own = [
        *vae.prior.parameters(),
        *(vae.posterior.parameters() if name == "vamp" else ()),
    ]
    for parameter, slope in zip(
        own,
        torch.autograd.grad(vae.prior().log_prob(Z.double()).sum(), own),
        strict=True,
    ):
        flat = parameter.data.view(-1)
        index = int(slope.abs().argmax())
        ends = []
        for step in (1e-5, -2e-5, 1e-5):
            flat[index] += step
            ends.append(float(vae.prior().log_prob(Z.double()).detach().sum()))
        assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(
            float(slope.view(-1)[index]), rel=1e-4, abs=1e-7
        )


@every_case
def test_single_and_double_precision(name: str) -> None:
    single = build(name)
    low = single.prior().log_prob(Z)
    double = single.double()
    high = double.prior().log_prob(Z.double())
    assert (low.dtype, high.dtype, double.prior().sample().dtype) == (
        torch.float32,
        torch.float64,
        torch.float64,
    )
    torch.testing.assert_close(low.double(), high, atol=1e-4, rtol=1e-4)


@every_case
def test_it_moves_to_a_device_with_the_model(name: str) -> None:
    """A device without numbers refuses whatever stayed behind on the CPU."""
    vae = build(name).to("meta")
    with pyro.validation_enabled(False):
        p = vae.prior()
        assert p.log_prob(Z.to("meta")).device.type == "meta"
        assert not p.has_rsample or p.rsample(torch.Size([3])).device.type == "meta"


@every_case
def test_saving_and_loading_keeps_the_density(name: str, tmp_path: Path) -> None:
    vae = build(name)
    twin = load(save(vae, tmp_path / "run"))
    assert torch.equal(vae.eval().prior().log_prob(Z), twin.prior().log_prob(Z))
    assert twin.spec == vae.spec


@every_case
def test_a_copy_is_its_own(name: str) -> None:
    vae = build(name)
    twin = copy.deepcopy(vae)
    before = vae.prior().log_prob(Z)
    assert torch.equal(twin.prior().log_prob(Z), before)
    moved = False
    for parameter in twin.parameters():
        parameter.data.mul_(1.5).add_(0.1)
        moved = moved or not torch.equal(twin.prior().log_prob(Z), before)
    assert torch.equal(vae.prior().log_prob(Z), before)
    assert moved == (name not in FIXED)


@every_case
def test_parameters_may_be_passed_in(name: str) -> None:
    vae = build(name)
    twin = copy.deepcopy(vae)
    before = vae.prior().log_prob(Z)
    for parameter in twin.parameters():
        parameter.data.mul_(1.5).add_(0.1)
    passed = {f"vae.{key}": value for key, value in twin.named_parameters()}
    assert torch.equal(
        functional_call(LogProb(vae), passed, (Z,)), twin.prior().log_prob(Z)
    )
    assert torch.equal(vae.prior().log_prob(Z), before)


@every_case
def test_symbols(name: str) -> None:
    vae = build(name)
    assert "z" in vae.prior.extra_repr()
    assert vae.prior.extra_repr() in str(vae)


@every_size
def test_the_density_integrates_to_one(name: str, latent_dim: int) -> None:
    _, mass = masses(build(name, latent_dim).double().prior(), latent_dim)
    assert float(mass.sum()) == pytest.approx(1, abs=1e-4 if latent_dim == 1 else 2e-3)


def features(z: Tensor) -> Tensor:
    """Bounded functions of z, whose means describe location, width and tilt of its distribution."""
    near = torch.cat(
        [torch.tanh(z), torch.tanh(z / 3), torch.tanh(z).square(), (-z.square()).exp()],
        -1,
    )
    return torch.cat(
        [
            near,
            torch.tanh(z).prod(-1, keepdim=True),
            torch.sin(z.sum(-1, keepdim=True)),
        ],
        -1,
    )


@every_size
def test_draws_follow_the_density(name: str, latent_dim: int) -> None:
    p = build(name, latent_dim).double().prior()
    torch.manual_seed(0)
    draws = p.sample(torch.Size([DRAWS]))
    points, mass = masses(p, latent_dim)
    values = features(draws)
    exact = mass @ features(points)
    error = (values.mean(0) - exact).abs() / (values.std(0) / DRAWS**0.5)
    assert error.max() < SIGMAS, f"{error.max():.1f} standard errors off"
    for column in range(latent_dim):
        places, marginal = points[:, column].unique(return_inverse=True)
        below = (
            torch.zeros(len(places), dtype=torch.float64)
            .index_add(0, marginal, mass)
            .cumsum(0)
        )
        ends = (places[1:] + places[:-1]) / 2
        found = kstest(
            draws[:, column].numpy(), lambda z, x=ends, y=below[:-1]: np.interp(z, x, y)
        )
        assert found.pvalue > 1e-4


@every_case
def test_draws_that_have_gradients_are_the_draws(name: str) -> None:
    p = build(name).prior()
    if not p.has_rsample:
        with pytest.raises(NotImplementedError):
            p.rsample(torch.Size([3]))
        return
    torch.manual_seed(3)
    plain = p.sample(torch.Size([3]))
    torch.manual_seed(3)
    moving = p.rsample(torch.Size([3]))
    assert torch.equal(plain, moving)
    assert not plain.requires_grad
    assert moving.requires_grad == (name not in FIXED)


@pytest.mark.slow
@every_size
def test_the_evidence_is_the_integral(name: str, latent_dim: int) -> None:
    """log p(x) = log ∫ p(x | z) p(z) dz for every row, within three standard errors."""
    vae = build(name, latent_dim, guide=Wide(latent_dim)).double()
    for parameter in vae.likelihood.parameters():
        parameter.data *= 3
    points, log_weight = grid(latent_dim, 200 if latent_dim == 2 else 0)
    x = ROWS.double()
    with torch.no_grad():
        log_prior = vae.prior().log_prob(points) + log_weight
        log_likelihood = vae.likelihood(points.unsqueeze(1)).log_prob(x)
        exact = (log_prior.unsqueeze(1) + log_likelihood).logsumexp(0).numpy()
    assert np.exp(exact).sum() == pytest.approx(1, abs=5e-3)
    found = evidence(
        vae, x, num_particles=2000, proposal="guide"
    )  # whose errors are above those of the grid
    errors = np.abs(found.log_marginal - exact) / found.se
    assert (errors > 3).sum() <= 1
    assert errors.max() < SIGMAS


@every_case
@pytest.mark.parametrize("guide", ["mean_field", "full_rank"])
def test_the_kl_is_analytic_where_torch_knows_it_and_is_sampled_elsewhere(
    name: str, guide: str
) -> None:
    vae = build(name, guide=guide)
    closed = name in {"standard_normal", "normal"} or (
        name.startswith("laplace") and guide == "mean_field"
    )
    assert ELBO()(vae.model, vae.guide, ROWS).kl == {
        "z": "analytic" if closed else "monte_carlo"
    }
    if not closed:
        with pytest.raises(ValueError, match="no closed-form KL"):
            ELBO(kl="analytic")(vae.model, vae.guide, ROWS)
        return
    torch.manual_seed(0)
    exact = ELBO(kl="analytic")(vae.model, vae.guide, ROWS).rate
    q = vae.posterior(ROWS)
    p = vae.prior()
    z = q.sample(torch.Size([DRAWS]))
    draws = q.log_prob(z) - p.log_prob(z)
    error = (draws.mean(0) - exact).abs() / (draws.std(0) / DRAWS**0.5)
    assert error.max() < SIGMAS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "laplace", "scale": 0}, "prior.laplace.scale"),
        ({"kind": "student_t", "df": -1.0}, "prior.student_t.df"),
        ({"kind": "mixture", "components": 0}, "prior.mixture.components"),
        ({"kind": "vamp", "pseudo_inputs": 0}, "prior.vamp.pseudo_inputs"),
        (
            {"kind": "flow", "transform": "glow"},
            "'coupling', 'autoregressive' or 'spline'",
        ),
        ({"kind": "flow", "transform": "nsf"}, "'nsf' is now called 'spline'"),
        ({"kind": "flow", "transforms": 0}, "prior.flow.transforms"),
        ({"kind": "hierarchical"}, "prior.hierarchical.top_dim"),
        (
            {"kind": "hierarchical", "top_dim": 2},
            "expected top_dim below latent_dim = 2, got 2",
        ),
        (
            {"kind": "hierarchical", "top_dim": 1, "top": "normul"},
            "did you mean 'normal'",
        ),
        ({"kind": "hierarchical", "top_dim": 1, "top": "flat"}, "got 'flat'"),
    ],
)
def test_options_out_of_range_are_refused_by_name(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        VAE(data_shape=(4,), latent_dim=2, prior=options)


def test_the_sizes_that_a_case_has() -> None:
    """What needs two numbers says so for one."""
    for name, dims in DIMS.items():
        if 1 not in dims:
            with pytest.raises(ValueError, match="expected"):
                build(name, 1)
