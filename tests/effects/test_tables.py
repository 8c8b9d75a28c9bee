"""Random effects of tables: kinds, several columns, labels, files, refusals and compiled steps."""

import copy

import numpy as np
import pandas as pd
import pyro
import pytest
import torch
from pyro.infer import TraceEnum_ELBO

import pyro_vae as pv
from pyro_vae import VAE
from pyro_vae.inputs import model_rows
from pyro_vae.objectives import ELBO
from pyro_vae.objectives.labelled import Labelled
from pyro_vae.training import load, save

KINDS = {"batch": {"kind": "random_effect", "dim": 2}, "age": "normal"}


def frame(n=60, seed=0):
    rng = np.random.default_rng(seed)
    batch = rng.choice(["a", "b", "c"], n)
    site = rng.integers(5, 9, n)
    age = rng.normal(50, 10, n)
    u = np.where(batch == "b", 2.0, 0.0) + 0.1 * age + rng.normal(size=n)
    kind = np.where(u > 5, "old", "young").astype(object)
    kind[::2] = None
    named = {"batch": batch, "age": age, "site": site, "u": u, "kind": kind}
    return pd.DataFrame({**named, "v": rng.normal(size=n)})


def made(data, context, **fields):
    whole = {"latent_dim": 1, "hidden_dims": (4,), **fields}
    return VAE.from_data(data, context=context, **whole)


DATA = frame()
PLAIN = DATA.drop(columns=["kind", "site"])


@pytest.fixture(scope="module")
def fitted():
    vae = made(PLAIN, {"columns": KINDS})
    pv.fit(vae, PLAIN, epochs=2, validation=10, progress=False)
    return vae


def test_the_description_has_levels_and_options(fitted):
    (effect,) = fitted.spec.context.effects
    assert (effect.name, effect.position, effect.levels) == ("batch", 0, 3)
    assert (effect.dim, effect.scale) == (2, "learned")
    assert fitted.spec.context.width == 3
    assert "p(u)         u ~ N(0, s² I), s learned" in str(fitted)
    assert int(fitted.model.effects.rows) == 50
    features = fitted.model.features
    assert (features.mean[:2] == 0).all()
    assert (features.std[:2] == 1).all()
    np.testing.assert_allclose(features.std[2], 10, rtol=0.3)


DEEP = pytest.param("deep copy", marks=pytest.mark.slow)


@pytest.mark.parametrize("copied", ["saved", DEEP])
def test_a_copy_gives_the_same_answers(fitted, copied, tmp_path):
    data = PLAIN[:4].assign(batch=["a", "b", "new", "c"])
    if copied == "saved":
        save(fitted, tmp_path / "run")
        again = load(tmp_path / "run")
        assert again.spec == fitted.spec
    else:
        again = copy.deepcopy(fitted)
        assert again.model.effects._posteriors[0] is again.guide.effects
    how = {"num_particles": 30, "progress": False}
    np.testing.assert_array_equal(
        pv.evidence(again, data, **how).log_marginal,
        pv.evidence(fitted, data, **how).log_marginal,
    )
    found, expected = pv.random_effects(again), pv.random_effects(fitted)
    pd.testing.assert_frame_equal(found.to_dataframe(), expected.to_dataframe())
    assert found.component.tolist() == [0, 1] * 3


def test_a_new_level_is_no_error_anywhere(fitted):
    data = PLAIN[:4].assign(batch=["a", "b", "new", "other"])
    assert np.isfinite(pv.encode(fitted, data).loc).all()
    assert pv.reconstruct(fitted, data).shape == (4, 2)
    assert pv.analysis.rate(fitted, data).shape == (4,)
    assert pv.sample(fitted, 2, context={"batch": "new", "age": 50.0}).shape == (2, 2)
    constant = pv.to_arviz(fitted, data, num_samples=2)["constant_data"]
    assert constant["batch"].values.tolist() == ["a", "b", "(new level)", "(new level)"]
    positions = np.array([[3.0, 50.0]])
    assert pv.sample(fitted, 2, context=positions).shape == (2, 2)
    with pytest.raises(ValueError, match="column 'batch': expected positions"):
        pv.sample(fitted, 2, context=np.array([[4.0, 50.0]]))
    missing = data.assign(batch=["a", None, "b", "c"])
    with pytest.raises(ValueError, match="column 'batch': expected a value in each"):
        pv.encode(fitted, missing)


def test_parts_refuse_levels_in_the_place_of_vectors(fitted):
    context = torch.zeros(3, 2)
    message = (
        r"^context: expected the vectors of random effects, .* vae.given\(context\)"
    )
    for ask in (fitted.prior, lambda c: fitted.posterior(torch.zeros(3, 2), c)):
        with pytest.raises(ValueError, match=message):
            ask(context)
    given = fitted.given(context)
    assert given.prior().batch_shape == (3,)
    assert given.posterior(torch.zeros(3, 2)).batch_shape == (3,)
    assert given.likelihood(torch.zeros(5, 3, 1)).batch_shape == (5, 3)


def test_options_that_can_not_be():
    wish = {"kind": "random_effect", "scale": -1.0}
    with pytest.raises(ValueError, match=r"^context: column 'batch': scale: "):
        made(PLAIN, {"columns": {"batch": wish}})
    with pytest.raises(ValueError, match=r"^context: column 'batch': width: unknown"):
        made(PLAIN, {"columns": {"batch": {"kind": "random_effect", "width": 2}}})
    plain = VAE(data_shape=(4,), latent_dim=1)
    with pytest.raises(ValueError, match=r"^random_effects: expected a model with a"):
        pv.random_effects(plain)


SEVERAL = {"batch": "random_effect", "age": "normal"}
SEVERAL["site"] = {"kind": "random_effect", "scale": 0.5, "dim": 3}


def answers(vae, data):
    pv.fit(vae, data, epochs=1, validation=None, progress=False)
    part = data[:4].assign(batch=["a", "new", "b", "b"])
    how = {"num_particles": 30, "progress": False}
    assert np.isfinite(pv.evidence(vae, part, **how).log_marginal).all()
    moved = pv.transfer(vae, part, to={"batch": "new"}, **how)
    assert np.isfinite(moved.draws).all()
    return pv.random_effects(vae)


@pytest.mark.slow
def test_several_columns_and_one_scale_that_is_given():
    data = DATA.drop(columns="kind")
    vae = made(data, {"columns": SEVERAL, "embedding": 2, "layers": "all"})
    assert vae.spec.context.width == 2 + 1 + 3
    found = answers(vae, data)
    assert found.scales["site"] == 0.5
    assert found.level.tolist()[-3:] == [8, 8, 8]
    assert len(found.mean) == 3 * 2 + 4 * 3


@pytest.mark.slow
def test_a_label_beside_an_effect():
    data = DATA.drop(columns="site")
    vae = made(data, {"columns": KINDS, "label": "kind"})
    answers(vae, data)
    assert pv.classify(vae, data).probabilities.shape == (60, 2)


def test_a_label_counts_the_divergence_of_effects_once():
    data = DATA.drop(columns="site").assign(kind=["old", *[None] * 58, "young"])
    vae = made(data, {"columns": {"batch": "random_effect"}, "label": "kind"}).double()
    rows = next(model_rows(vae, data).batches(100))
    objective = Labelled(inner=ELBO(), weight=0.0, consistency=0.0)
    with torch.no_grad():
        torch.manual_seed(0)
        before = objective(vae.model, vae.guide, rows).loss.sum()
        vae.model.effects.rows.fill_(10**9)
        torch.manual_seed(0)
        without = objective(vae.model, vae.guide, rows).loss.sum()
    priors, guides = vae.model.effects, vae.guide.effects
    (p,), (q,) = priors.distributions(), guides.distributions()
    expected = torch.distributions.kl_divergence(q, p)
    torch.testing.assert_close(before - without, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        {"guide": "full_rank"},
        {"guide": "flow"},
        {"context": {"prior": False}, "prior": "mixture"},
        {
            "context": {"prior": False},
            "prior": "flow",
            "guide": "flow",
            "latent_dim": 2,
        },
        {"context": {"encoder": False}},
        {"context": {"independence": 5.0}},
        {"missing": "at_random"},
        {"likelihood": "student_t", "encoder": "residual", "hidden_dims": (4, 4)},
    ],
    ids=str,
)
def test_other_parts(fields):
    context = {"columns": KINDS, **fields.pop("context", {})}
    answers(made(PLAIN, context, **fields), PLAIN)


@pytest.mark.slow
def test_a_compiled_run_is_the_eager_one():
    losses = {}
    for compile in ("off", "step"):
        vae = made(PLAIN, {"columns": KINDS})
        how = {"epochs": 4, "batch_size": 16, "progress": False, "compile": compile}
        run = pv.fit(vae, PLAIN, validation=12, objective="iwae", **how)
        losses[compile] = [(row["loss"], row["val_loss"]) for row in run.history]
    np.testing.assert_allclose(losses["step"], losses["off"], rtol=1e-4)


@pytest.mark.slow
def test_imputation_integrates_over_a_new_level():
    data = PLAIN.copy()
    vae = made(data, {"columns": KINDS}, missing="at_random", hidden_dims=())
    pv.fit(vae, data, epochs=1, validation=None, progress=False)
    with torch.no_grad():
        vae.model.effects.scales[0].raw.fill_(5.0)
    lacking = PLAIN[:2].assign(batch=["a", "new"], u=np.nan)
    found = pv.impute(vae, lacking, num_particles=500, progress=False).to_dataframe()
    sd = found[found["column"] == "u"]["sd"].to_numpy()
    assert sd[1] > 1.2 * sd[0]


@pytest.mark.slow
def test_pyros_sum_over_labels_knows_the_effects():
    data = DATA.drop(columns="site")
    vae = made(data, {"columns": KINDS, "label": "kind"})
    rows = next(model_rows(vae, data).batches(100))
    x, context = vae.model.split(rows)
    ours = Labelled(inner=ELBO(kl="monte_carlo"), weight=0.0, consistency=0.0)
    theirs = TraceEnum_ELBO(max_plate_nesting=1)
    torch.manual_seed(0)
    a, b = [], []
    with torch.no_grad(), pyro.settings.context(module_local_params=True):
        for _ in range(150):
            a.append(float(ours(vae.model, vae.guide, rows).loss.sum()))
            b.append(theirs.loss(vae.model, vae.guide, x, context))
    se = np.hypot(np.std(a), np.std(b)) / np.sqrt(len(a))
    assert abs(np.mean(a) - np.mean(b)) < 3 * se
    assert se < 1e-3 * abs(np.mean(a))
