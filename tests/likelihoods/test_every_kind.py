"""What every likelihood promises, asked of each one."""

import copy

import pyro
import pytest
import torch
from pyro import poutine
from torch.func import functional_call

from pyro_vae import VAE, fit, load, save
from pyro_vae.objectives import ELBO
from tests.likelihoods.families import (
    CASES,
    every_case,
    family,
    in_double,
    outputs,
    vae,
)


@every_case
def test_shapes_with_any_leading_dimensions(name):
    built = family(name)
    rows = CASES[name].rows
    for leading in ((), (7,), (3, 7)):
        p = built(outputs(built, *leading))
        assert p.event_shape == CASES[name].data_shape
        assert p.batch_shape == leading
        assert p.mean.shape == p.sample().shape == (*leading, *p.event_shape)
        assert p.sample((2,)).shape == (2, *leading, *p.event_shape)
        assert p.log_prob(rows[0]).shape == leading
        assert p.variance.shape == p.mean.shape
    assert built(outputs(built, 3, 7)).log_prob(rows[:7]).shape == (3, 7)


@every_case
def test_expanding_changes_no_density(name):
    built = family(name)
    rows = CASES[name].rows[:5]
    p = built(outputs(built, 5))
    wide = p.expand((4, 5))
    assert wide.batch_shape == (4, 5)
    assert wide.sample().shape == (4, *rows.shape)
    torch.testing.assert_close(wide.log_prob(rows), p.log_prob(rows).expand(4, 5))


@every_case
def test_a_row_does_not_depend_on_the_others(name):
    model = vae(name)
    rows = CASES[name].rows[:6]
    z = torch.randn(
        6, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    together = model.likelihood(z).log_prob(rows)
    alone = torch.cat(
        [model.likelihood(z[i : i + 1]).log_prob(rows[i : i + 1]) for i in range(6)]
    )
    torch.testing.assert_close(together, alone)


@every_case
def test_looking_at_draws_and_moments_changes_no_density(name):
    built = family(name)
    rows = CASES[name].rows[:5]
    p = built(outputs(built, 5, size=3.0))
    before = p.log_prob(rows)
    p.mean, p.variance, p.sample()
    assert torch.equal(p.log_prob(rows), before)


@every_case
@pytest.mark.parametrize("num_particles", [1, 4])
def test_gradients_of_the_elbo_reach_every_parameter(name, num_particles):
    model = vae(name)
    torch.manual_seed(0)
    terms = ELBO(num_particles=num_particles)(
        model.model, model.guide, CASES[name].rows[:16]
    )
    terms.elbo.mean().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().sum() > 0, key


@every_case
def test_single_and_double_precision(name):
    wide = family(name)
    rows = CASES[name].rows[:8]
    raw = outputs(wide, 8)
    narrow = copy.deepcopy(wide).float()
    p = wide(raw)
    q = narrow(raw.float())
    for part, dtype in ((p, torch.float64), (q, torch.float32)):
        assert part.sample().dtype == part.mean.dtype == dtype
        assert part.log_prob(rows.to(dtype)).dtype == (
            torch.float64 if in_double(name) else dtype
        )
    torch.testing.assert_close(
        q.log_prob(rows.float()).double(),
        p.log_prob(rows.float().double()),
        rtol=1e-4,
        atol=1e-4,
    )


@every_case
def test_saved_and_loaded_it_is_the_same(name, tmp_path):
    model = vae(name)
    rows = CASES[name].rows[:8]
    for parameter in model.parameters():
        parameter.data += 0.1
    z = torch.randn(
        8, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    twin = load(save(model, tmp_path / "run"))
    assert twin.spec == model.spec
    assert str(twin) == str(model)
    assert torch.equal(
        twin.likelihood(z).log_prob(rows), model.likelihood(z).log_prob(rows)
    )
    torch.testing.assert_close(twin.likelihood(z).mean, model.likelihood(z).mean)


@every_case
def test_parameters_may_come_from_outside(name):
    model = vae(name)
    rows = CASES[name].rows[:8]
    z = torch.randn(
        8, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    moved = {
        key: value.detach() + 0.1 for key, value in model.likelihood.named_parameters()
    }
    got = functional_call(model.likelihood, moved, (z,)).log_prob(rows)
    assert not torch.allclose(got, model.likelihood(z).log_prob(rows))
    model.likelihood.load_state_dict({**model.likelihood.state_dict(), **moved})
    assert torch.equal(got, model.likelihood(z).log_prob(rows))


@every_case
def test_the_model_is_a_pyro_program(name):
    model = vae(name)
    rows = CASES[name].rows[:6]
    z = torch.zeros(6, 2, dtype=torch.float64)
    with pyro.settings.context(module_local_params=True), pyro.validation_enabled(True):
        given = poutine.condition(model.model, {"z": z})
        observed = poutine.trace(given).get_trace(rows)
        drawn = poutine.trace(model.model).get_trace(n=5)
        observed.compute_log_prob()
        drawn.compute_log_prob()
    torch.testing.assert_close(
        observed.nodes["x"]["log_prob"], model.likelihood(z).log_prob(rows)
    )
    assert drawn.nodes["x"]["value"].shape == (5, *rows.shape[1:])
    assert drawn.nodes["x"]["log_prob"].isfinite().all()


@every_case
def test_a_copy_is_on_its_own(name):
    model = vae(name)
    rows = CASES[name].rows[:8]
    z = torch.zeros(8, 2, dtype=torch.float64)
    before = model.likelihood(z).log_prob(rows)
    twin = copy.deepcopy(model)
    for tensor in twin.state_dict().values():
        tensor.add_(1) if tensor.is_floating_point() else tensor.zero_()
    assert torch.equal(model.likelihood(z).log_prob(rows), before)


@every_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_are_inside_the_support(name, dtype):
    built = family(name).to(dtype)
    torch.manual_seed(0)
    for size in (
        0.5,
        0.5 if name.startswith("distribution") else 5.0,
    ):  # a wild Weibull is infinite, not ours to mend
        drawn = built(outputs(built, 20, size=size).to(dtype)).sample((50,))
        assert drawn.isfinite().all()
        assert built.support.check(drawn).all()


@every_case
def test_its_own_rows_are_inside_the_support(name):
    assert family(name).support.check(CASES[name].rows).all()


@every_case
def test_a_few_steps_of_fit_stay_finite(name):
    options, data_shape, rows = CASES[name]
    model = VAE(
        data_shape=data_shape, latent_dim=2, hidden_dims=(6,), likelihood=options
    )
    run = fit(
        model,
        rows,
        objective=ELBO(),
        epochs=2,
        batch_size=6,
        lr=0.01,
        validation=None,
        progress=False,
    )
    losses = torch.tensor([row["loss"] for row in run.history])
    assert losses.isfinite().all()
    assert model.initialized


@every_case
def test_values_outside_are_refused_while_pyro_validates(name):
    built = family(name)
    rows = CASES[name].rows[:5].clone()
    rows[2].fill_(torch.nan)
    with pyro.validation_enabled(True), pytest.raises(ValueError, match="support"):
        built(outputs(built, 5)).log_prob(rows)


@every_case
def test_the_whole_family_moves_to_a_device(name):
    with pyro.validation_enabled(
        False
    ):  # validation asks for values, and the meta device has none
        built = family(name).to("meta")
        p = built(outputs(built, 5).to("meta"))
        rows = torch.empty(5, *built.data_shape, dtype=torch.float64, device="meta")
        assert {p.log_prob(rows).device.type, p.mean.device.type} == {"meta"}


@every_case
def test_it_has_symbols(name):
    built = family(name)
    assert "x ~ " in built.extra_repr()
    assert repr(built) == f"{type(built).__name__}({built.extra_repr()})"
    assert built.extra_repr() in str(vae(name))
    assert type(built).__doc__.startswith("p(x | z")
    assert built.remedy
