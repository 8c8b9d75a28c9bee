"""log p of observed cells and of the mask, where cells are missing because of their values."""

import itertools
import warnings

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli

import pyro_vae as pv
from pyro_vae import VAE, fit
from pyro_vae.analysis.outliers.columns import column_log_prob
from pyro_vae.data import statistics
from pyro_vae.likelihoods.mechanisms import LinearLogit
from pyro_vae.rng import own_seed
from tests.likelihoods.families import CASES, GRADES, POSITIVE, TABLE
from tests.training.small import same, weights

NAN = float("nan")
COLUMNS = torch.cat([TABLE[:, :3], POSITIVE[:, :1], GRADES[:, 1:]], 1)
GROUPS = [
    {"columns": 0, "kind": "normal"},
    {"columns": 3, "kind": "log_normal"},
    {"columns": [5, 4], "kind": "ordinal", "num_classes": 3},
    {"columns": 1, "kind": "bernoulli"},
    {"columns": 2, "kind": "categorical", "num_classes": 4},
]
NAMES = (
    "normal",
    "normal, decoder",
    "log_normal",
    "log_normal, decoder",
    "bernoulli",
    "categorical",
    "categorical, image",
    "ordinal",
    "ordinal, image",
    "ordinal, two",
    "groups",
)
each_name = pytest.mark.parametrize("name", NAMES)


def described(name):
    """The likelihood, the shape of a row and rows with holes."""
    options, shape, rows = {"kind": "mixed", "columns": GROUPS}, (6,), COLUMNS
    if name != "groups":
        options, shape, rows = CASES[name]
    mask = np.random.default_rng(0).random(tuple(rows.shape)) < 0.4
    return options, shape, rows.masked_fill(torch.as_tensor(mask), NAN)


def model(name, missing="self_masking", **fields):
    options, shape, rows = described(name)
    small = {"latent_dim": 1, "hidden_dims": (6,), **fields}
    vae = VAE(data_shape=shape, likelihood=options, missing=missing, **small).double()
    vae.likelihood.family.pyro_vae_start(statistics([rows]))
    vae.likelihood.missing.pyro_vae_start(statistics([rows]))
    return vae, rows


def disturb(vae, size=1.0):
    """Random slopes, intercepts and logits of levels."""
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in vae.likelihood.missing.mechanism.parameters():
            weight.add_(size * torch.randn_like(weight))


def draws(rows):
    z = torch.linspace(-1, 1, 3).double().reshape(3, 1, 1)
    return z.expand(3, len(rows), 1)


@each_name
@pytest.mark.parametrize("with_gradient", [True, False])
def test_without_slopes_it_is_at_random_and_the_mask(name, with_gradient):
    """The mixture of normal distribution functions is off by 2.2e-9 at most, twice relatively."""
    vae, rows = model(name)
    plain, _ = model(name, "at_random")
    plain.load_state_dict(vae.state_dict(), strict=False)
    missing = rows.isnan()
    share = (missing.double().sum(0) + 0.5) / (len(rows) + 1.0)
    of_mask = Bernoulli(share).log_prob(missing.double()).flatten(1).sum(1)
    z = draws(rows)
    with torch.set_grad_enabled(with_gradient):
        found = vae.likelihood(z).log_prob(rows)
        expected = plain.likelihood(z).log_prob(rows) + of_mask
    bound = 4.4e-9 * rows[0].numel()
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=bound)
    assert (found - expected).abs().max() <= bound


@each_name
def test_a_model_without_dependence_has_the_shares_of_the_mask(name):
    vae, rows = model(name)
    disturb(vae)
    vae.likelihood.pyro_vae_start(statistics([rows]))
    plain, _ = model(name, "at_random")
    plain.likelihood.pyro_vae_start(statistics([rows]))
    missing = rows.isnan()
    share = (missing.double().sum(0) + 0.5) / (len(rows) + 1.0)
    of_mask = Bernoulli(share).log_prob(missing.double()).flatten(1).sum(1)
    found = vae.likelihood.independent().log_prob(rows)
    expected = plain.likelihood.independent().log_prob(rows) + of_mask
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@each_name
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1.0, 300.0])
def test_gradients_are_finite(name, dtype, size):
    vae, rows = model(name)
    disturb(vae, size)
    vae, rows = vae.to(dtype), rows.to(dtype)
    z = draws(rows).to(dtype).clone().requires_grad_()
    vae.likelihood(z).log_prob(rows).sum().backward()
    assert z.grad.isfinite().all()
    for weight in vae.likelihood.parameters():
        assert weight.grad is not None
        assert weight.grad.isfinite().all()


@each_name
def test_the_number_for_a_missing_cell_changes_nothing(name):
    vae, holed = model(name)
    disturb(vae)
    found = []
    for row in (5, 7):
        whole = COLUMNS[row] if name == "groups" else CASES[name].rows[row]
        vae.likelihood.missing.fill.copy_(whole)
        z = torch.zeros(len(holed), 1).double().requires_grad_()
        log_p = vae.likelihood(z).log_prob(holed)
        found.append((log_p, torch.autograd.grad(log_p.sum(), z)[0]))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@each_name
def test_columns_sum_to_the_row(name):
    vae, rows = model(name)
    disturb(vae)
    p = vae.likelihood(torch.zeros(len(rows), 1).double())
    terms = column_log_prob(p, rows)
    torch.testing.assert_close(terms.flatten(1).sum(1), p.log_prob(rows))


@each_name
def test_draws_and_shapes(name):
    vae, rows = model(name)
    disturb(vae)
    p = vae.likelihood(draws(rows))
    assert p.sample().isfinite().all()  # complete rows
    given = p.pyro_vae_given_observed(rows, ~rows.isnan())
    assert (
        given.sample().shape == given.mean.shape == given.variance.shape == p.mean.shape
    )
    wide = vae.likelihood(torch.zeros(len(rows), 1).double())
    expanded = wide.expand((2, len(rows)))
    assert torch.equal(expanded.log_prob(rows)[1], wide.log_prob(rows))


@pytest.mark.parametrize("kind", ["bernoulli", "categorical", "ordinal"])
def test_all_rows_and_masks_have_probability_one(kind):
    options = {} if kind == "bernoulli" else {"num_classes": 3}
    levels = range(2 if kind == "bernoulli" else 3)
    vae = VAE(
        data_shape=(2,),
        latent_dim=1,
        likelihood={"kind": kind, **options},
        missing="self_masking",
        hidden_dims=(4,),
    ).double()
    disturb(vae)
    outcomes = list(itertools.product([*levels, NAN], repeat=2))
    rows = torch.tensor(outcomes, dtype=torch.float64)
    p = vae.likelihood(torch.full((len(rows), 1), 0.7).double())
    assert p.log_prob(rows).exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_a_complete_and_an_empty_row():
    vae, _ = model("normal")
    disturb(vae)
    z = torch.zeros(1, 1).double()
    p = vae.likelihood(z)
    whole = CASES["normal"].rows[:1]
    seen = torch.sigmoid(-vae.likelihood.missing.mechanism.logits(whole)).log().sum(1)
    torch.testing.assert_close(p.log_prob(whole), p.base_dist.log_prob(whole) + seen)
    drawn = p.base_dist.sample((100_000,))
    gone = vae.likelihood.missing.mechanism.logits(drawn).sigmoid().mean(0).log().sum()
    empty = p.log_prob(torch.full_like(whole, NAN))
    assert empty.item() == pytest.approx(gone.item(), abs=0.05)


@pytest.mark.parametrize(("direction", "sign"), [("any", 0), ("high", 1), ("low", -1)])
def test_directions(direction, sign):
    logit = LinearLogit((2,), direction)
    assert logit.slope.tolist() == pytest.approx([sign, sign])
    with torch.no_grad():
        logit.raw.copy_(torch.tensor([-5.0, 5.0]))
    assert (logit.slope.sign() == (sign or logit.raw.sign())).all()


@pytest.mark.slow
def test_the_direction_is_found():
    """Large cells are missing; one column says what the missing cells of another were."""
    random = np.random.default_rng(0)
    whole = random.normal(size=(600, 1)) + 0.4 * random.normal(size=(600, 3))
    gone = random.random(whole.shape) < 1 / (1 + np.exp(-4 * (whole - 0.5)))
    gone[:, 2] = False
    vae = VAE(data_shape=(3,), latent_dim=1, hidden_dims=(), missing="self_masking")
    fit(vae, np.where(gone, NAN, whole), epochs=150, lr=1e-2, progress=False)
    slope = vae.likelihood.missing.mechanism.logit.slope
    assert (slope[:2] > 0.5).all()


# Refused


@pytest.mark.parametrize(
    "likelihood",
    [
        "student_t",
        "poisson",
        "multinomial",
        {"kind": "normal", "covariance": "full"},
        {"kind": "mixed", "columns": [{"columns": "0:3", "kind": "gamma"}]},
    ],
)
def test_likelihoods_without_an_integral_are_refused(likelihood):
    with pytest.raises(
        ValueError, match=r"expected a likelihood .* missing='at_random'"
    ):
        VAE(
            data_shape=(3,), latent_dim=1, likelihood=likelihood, missing="self_masking"
        )


def test_a_likelihood_of_the_users_own_is_refused():
    def own(z):
        return torch.distributions.Independent(
            torch.distributions.Normal(z.expand(*z.shape[:-1], 3), 1.0), 1
        )

    with pytest.raises(ValueError, match="got 'custom'"):
        VAE(data_shape=(3,), latent_dim=1, likelihood=own, missing="self_masking")


@pytest.mark.parametrize(
    "missing",
    ["by_chance", {"kind": "self_masking", "direction": "up"}, {"kind": "none"}],
)
def test_other_words_are_refused(missing):
    with pytest.raises(ValueError, match=r"missing: expected .*'high'.* got"):
        VAE(data_shape=(3,), latent_dim=1, missing=missing)


# Files and training


@pytest.mark.parametrize(
    "missing", ["self_masking", {"kind": "self_masking", "direction": "low"}]
)
def test_saved_and_loaded(missing, tmp_path):
    vae, rows = model("groups", missing)
    disturb(vae)
    pv.save(vae, tmp_path / "run")
    loaded = pv.load(tmp_path / "run")
    assert loaded.spec == vae.spec
    assert same(weights(vae), weights(loaded))
    direction = "any" if isinstance(missing, str) else "low"
    assert loaded.spec.self_masking == direction
    z = torch.zeros(len(rows), 1).double()
    ours, theirs = (one.likelihood(z).log_prob(rows) for one in (vae, loaded))
    assert torch.equal(ours, theirs)


def test_a_description_in_toml(tmp_path):
    path = tmp_path / "model.toml"
    path.write_text(
        'data_shape = [3]\nmissing = {kind = "self_masking", direction = "high"}\n'
    )
    assert VAE.from_spec(path).spec.self_masking == "high"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["normal", "groups"])
def test_the_compiled_step_follows_the_eager_one(name):
    histories = []
    for how in ("step", "off"):
        options, shape, rows = described(name)
        vae = VAE(
            data_shape=shape,
            latent_dim=2,
            hidden_dims=(8,),
            likelihood=options,
            missing="self_masking",
        )
        with own_seed(9), warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*eager")
            run = fit(
                vae,
                rows.float(),
                epochs=3,
                batch_size=16,
                lr=1e-2,
                compile=how,
                objective={"kind": "iwae", "num_particles": 3},
                progress=False,
            )
        histories.append([row["loss"] for row in run.history])
    np.testing.assert_allclose(*histories, rtol=1e-4)


def test_the_sleep_phase_hides_by_the_mechanism():
    vae, rows = model("normal")
    missing = vae.likelihood.missing
    with torch.no_grad():
        missing.mechanism.logit.raw.fill_(50.0)
    drawn = vae.likelihood(torch.zeros(len(rows), 1).double()).sample()
    lacking = missing.lacking(drawn, rows)
    below = drawn < missing.mechanism.logit.center - missing.mechanism.logit.unit
    above = drawn > missing.mechanism.logit.center + missing.mechanism.logit.unit
    assert not lacking[below].isnan().any()
    assert lacking[above].isnan().all()


@pytest.mark.parametrize(
    ("options", "said"), [({"warp": "asinh"}, "t⁻¹"), ({"covariance": "full"}, "full")]
)
def test_the_option_that_is_in_the_way_is_named(options, said):
    with pytest.raises(ValueError, match=f"got 'normal' .*{said}"):
        VAE(
            data_shape=(3,),
            latent_dim=1,
            likelihood={"kind": "normal", **options},
            missing="self_masking",
        )


def test_log_p_of_cells_and_mask_is_shared_by_all_cells():
    vae = VAE(data_shape=(2,), latent_dim=1, missing="self_masking")
    rows = np.array([[0.5, np.nan], [np.nan, np.nan]])
    found = pv.evidence(vae, rows, num_particles=100, progress=False)
    np.testing.assert_allclose(found.per_cell, found.log_marginal / 2)
    assert found.mean_per_cell == pytest.approx(found.log_marginal.sum() / 4)
