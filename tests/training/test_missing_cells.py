"""Models that are fitted to rows with missing cells: networks, priors, guides, compiled steps."""

import warnings

import numpy as np
import pandas as pd
import pyro.distributions as dist
import pytest
import torch
from torch import nn

import pyro_vae as pv
from pyro_vae import VAE, fit
from pyro_vae.analysis.fitted import evaluation
from pyro_vae.analysis.marginal_likelihood.log_joint import CompiledJoint, log_joint
from pyro_vae.rng import own_seed
from pyro_vae.training import compiled_graph as module
from tests.likelihoods.families import CASES
from tests.training.small import X, same, weights

NAN = float("nan")
RANDOM = np.random.default_rng(0)
HOLED = np.where(RANDOM.random(X.shape) < 0.3, NAN, X).astype(np.float32)
RUN = {"epochs": 3, "batch_size": 16, "lr": 1e-2, "validation": 4, "progress": False}


def small(**fields):
    given = {"data_shape": (4,), "latent_dim": 2, "hidden_dims": (8,), **fields}
    return VAE(**{"missing": "at_random", **given})


def fitted(vae, x=HOLED, **options):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*rows have no observed cell")
        run = fit(vae, x, **{**RUN, **options})
    assert all(np.isfinite(row["loss"]) for row in run.history)
    return run


PARTS = {
    "vamp": {"prior": {"kind": "vamp", "pseudo_inputs": 5}},
    "vamp, more than rows": {"prior": {"kind": "vamp", "pseudo_inputs": 60}},
    "mixture": {"prior": {"kind": "mixture", "components": 3}},
    "flow": {"guide": {"kind": "flow", "transforms": 1, "hidden_dims": [4]}},
    "hierarchical": {"guide": {"kind": "hierarchical", "top_dim": 1, "hidden_dim": 4}},
    "semi-amortized": {"guide": {"kind": "semi_amortized", "steps": 2}},
    "autoencoder": {"prior": "flat", "guide": "delta"},
    "gated": {"encoder": "gated_mlp"},
    "own encoder": {
        "encoder": nn.Sequential(nn.Linear(8, 6), nn.Tanh()),
        "hidden_dims": (5,),
    },
    "all": {"standardize": "all"},
    "none": {"standardize": "none", "denoise": 0.1},
}


@pytest.mark.parametrize("name", PARTS)
def test_every_part_takes_missing_cells(name):
    vae = small(**PARTS[name])
    fitted(vae)
    found = pv.encode(vae, HOLED)
    assert np.isfinite(found.loc).all()
    assert np.isfinite(pv.reconstruct(vae, HOLED)).all()


@pytest.mark.parametrize("shape", [(8, 8), (3, 8, 8)])
@pytest.mark.parametrize("network", ["mlp", {"kind": "conv", "channels": [4]}])
def test_images_with_missing_pixels(shape, network):
    x = RANDOM.normal(size=(20, *shape)).astype(np.float32)
    x[RANDOM.random(x.shape) < 0.3] = NAN
    vae = small(data_shape=shape, encoder=network)
    fitted(vae, x)
    assert np.isfinite(
        pv.evidence(vae, x[:3], num_particles=30, progress=False).log_marginal
    ).all()


def test_the_encoder_sees_zeros_and_the_mask():
    seen = []

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(8, 3)

        def forward(self, x):
            seen.append(x.detach())
            return self.linear(x)

    vae = small(encoder=Encoder(), standardize="none", hidden_dims=(5,))
    vae.posterior(torch.tensor([[1.0, NAN, 3.0, NAN]]))
    assert seen[-1].tolist() == [[1, 0, 3, 0, 1, 0, 1, 0]]


def test_an_encoder_of_the_wrong_width_is_refused():
    with pytest.raises(
        ValueError, match="encoder: failed on zeros of shape \\(2, 8\\)"
    ):
        small(encoder=nn.Linear(4, 3), hidden_dims=(5,))


def test_a_guide_of_the_users_own_gets_the_rows_as_they_are():
    class Guide(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 2)

        def forward(self, x):
            loc = self.linear(torch.where(x.isnan(), 0.0, x))
            return dist.Normal(loc, 1.0).to_event(1)

    fitted(small(guide=Guide()))


# Objectives


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, "iwae"),
        ({"objective": "elbo"}, "elbo"),
        ({"num_particles": 2}, None),
        ({"beta": 0.5}, None),
        ({"kl_warmup_epochs": 2}, None),
    ],
)
def test_importance_weights_are_the_default(options, kind):
    run = fitted(small(), **options)
    chosen = run.options.objective
    assert (None if chosen is None else chosen.kind) == kind


def test_complete_rows_keep_the_elbo():
    assert fitted(small(), X).options.objective is None
    assert fitted(VAE(data_shape=(4,), latent_dim=2), X).options.objective is None


def test_unknown_labels_are_no_missing_cells():
    vae = small(context={"label": 2})
    labels = torch.where(
        torch.arange(len(X)) % 4 < 2, torch.arange(len(X)) % 2.0, torch.nan
    )[:, None]
    for x, kind in ((X, None), (HOLED, "iwae")):
        chosen = fitted(vae, x, context=labels).options.objective
        assert (None if chosen is None else chosen.kind) == kind


def test_an_autoencoder_keeps_the_elbo():
    assert fitted(small(prior="flat", guide="delta")).options.objective is None


def test_a_model_without_missing_cells_is_what_it_was():
    """No new buffer, no new input, and no new site."""
    vae = VAE(data_shape=(4,), latent_dim=2, hidden_dims=(8,))
    assert vae.spec.missing == "none"
    assert not any("missing" in name for name in vae.state_dict())
    assert vae.posterior.encoder[1].in_features == 4
    assert small().posterior.encoder[1].in_features == 8


def test_the_sleep_phase_draws_rows_that_lack_as_much():
    seen = []
    vae = small()
    vae.posterior.register_forward_pre_hook(lambda part, inputs: seen.append(inputs[0]))
    fitted(vae, HOLED, sleep_share=0.5, compile="off")
    share = torch.cat(seen[-3:]).isnan().float().mean()
    assert 0.15 < share < 0.45


# Compiled


@pytest.fixture
def traced(monkeypatch):
    """The graphs of compiled steps, which run as they are."""
    graphs = []

    def count(graph, inputs):
        graphs.append(graph)
        return graph.module

    monkeypatch.setattr(module, "_compile", count)
    return graphs


LIKELIHOODS = (
    "normal",
    "bernoulli",
    "log_normal",
    "mixed",
    "mixed, ordinal",
    "poisson",
)


def holes(name):
    """Rows of a likelihood with holes, where groups that belong together are whole."""
    options, shape, rows = CASES[name]
    vae = small(data_shape=shape, likelihood=options)
    mask = torch.as_tensor(np.random.default_rng(1).random(tuple(rows.shape)) < 0.3)
    for columns in vae.likelihood.missing.together.values():
        mask[:, columns] = mask[:, columns[:1]]
    return vae, rows.masked_fill(mask, NAN).float()


@pytest.mark.slow
@pytest.mark.parametrize("name", LIKELIHOODS)
@pytest.mark.parametrize("objective", ["elbo", {"kind": "iwae", "num_particles": 3}])
def test_the_graph_follows_the_eager_step(name, objective, traced):
    runs = []
    for how in ("step", "off"):
        vae, rows = holes(name)
        with own_seed(9):
            run = fitted(vae, rows, compile=how, objective=objective)
        runs.append((run.history, weights(vae)))
    (ours, left), (theirs, right) = runs
    assert len(traced) == 1
    for one, other in zip(ours, theirs, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4, abs=1e-5)
    for key, value in left.items():
        torch.testing.assert_close(value, right[key], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mixed", "bernoulli"])
def test_the_compiled_step_follows_the_eager_one(name):
    losses = []
    for how in ("step", "off"):
        vae, rows = holes(name)
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*eager")
            run = fitted(vae, rows, compile=how)
        losses.append([row["loss"] for row in run.history])
    np.testing.assert_allclose(*losses, rtol=1e-4)


@pytest.mark.slow
def test_the_compiled_density_is_the_eager_one():
    vae, rows = holes("mixed")
    fitted(vae, rows)
    vae.requires_grad_(False).eval()
    z = torch.randn(5, 7, 2)
    with evaluation(vae):
        compiled = CompiledJoint(lambda x, z: log_joint(vae, x, z), rows[:7], z)
        torch.testing.assert_close(compiled(rows[:7], z), log_joint(vae, rows[:7], z))


# Files and tables


def test_a_saved_model_is_the_same(tmp_path):
    vae = small()
    fitted(vae)
    pv.save(vae, tmp_path / "run")
    loaded = pv.load(tmp_path / "run")
    assert loaded.spec == vae.spec
    assert same(weights(vae), weights(loaded))
    how = {"num_particles": 50, "progress": False}
    ours, theirs = pv.evidence(vae, HOLED, **how), pv.evidence(loaded, HOLED, **how)
    assert np.array_equal(ours.log_marginal, theirs.log_marginal)


def test_an_older_description_has_no_missing_cells(tmp_path):
    vae = VAE(data_shape=(4,), latent_dim=2)
    fields = vae.spec.model_dump()
    del fields["missing"]
    assert VAE.from_spec(fields).spec.missing == "none"


def table():
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "a": random.normal(size=80),
            "b": random.poisson(3.0, 80),
            "c": random.choice(["u", "v", "w"], 80),
            "d": random.random(80) < 0.5,
        }
    ).astype({"b": "Int64", "d": "boolean"})
    for column in frame:
        frame.loc[random.random(80) < 0.2, column] = None
    return frame


def test_a_table_with_missing_cells():
    frame = table()
    vae = VAE.from_data(frame, latent_dim=2)
    fitted(vae, frame)
    found = pv.evidence(vae, frame, num_particles=50, progress=False)
    assert found.n_observed.tolist() == frame.notna().sum(axis=1).tolist()
    assert pv.reconstruct(vae, frame).notna().all(axis=None)
    assert pv.sample(vae, 5).notna().all(axis=None)
    tree = pv.to_arviz(vae, frame[:10], num_samples=5)
    observed = tree["observed_data"]
    for column in frame:
        assert (
            np.isnan(observed[column]) == frame[column][:10].isna().to_numpy()
        ).all()
    assert np.isfinite(tree["sample_stats"]["log_p"]).all()
    probabilities = pv.class_probabilities(vae, frame)
    for each in probabilities.values():
        np.testing.assert_allclose(each.sum(axis=1), 1, rtol=1e-5)
    assert probabilities


def test_columns_with_missing_cells_add_up_to_the_score():
    frame = table()
    vae = VAE.from_data(frame, latent_dim=2)
    fitted(vae, frame)
    from pyro_vae.analysis.outliers.columns import column_shares

    shares = column_shares(vae, frame[:20], num_samples=50, progress=False)
    assert (shares.value[frame[:20].isna().to_numpy()] == 0).all()


@pytest.mark.slow
def test_nuts_and_gaps_take_missing_cells():
    vae = small()
    fitted(vae)
    found = pv.annealed(vae, HOLED[:3], num_chains=8, progress=False)
    assert np.isfinite(found.log_marginal).all()
    gaps = pv.inference_gaps(vae, HOLED[:3], progress=False)
    assert np.isfinite(gaps.approximation_gap).all()


def test_a_check_up_of_a_sound_model_finds_nothing():
    vae = small()
    fitted(vae, epochs=20)
    found = pv.checkup(vae, HOLED)
    failed = [finding.name for finding in found.findings if finding.verdict == "fail"]
    assert failed == []


@pytest.mark.slow
def test_compare_refuses_other_masks():
    one, other = small(), small(seed=1)
    complete = VAE(data_shape=(4,), latent_dim=2)
    for vae in (one, other):
        fitted(vae)
    fitted(complete, X)
    rows = HOLED[:20]
    shifted = np.where(np.arange(4) == 0, NAN, rows)
    found = pv.compare(
        {"one": one, "other": other}, rows, num_particles=30, progress=False
    )
    assert np.isfinite(found.log_marginal).all()
    how = {"num_particles": 30, "progress": False}
    each = {
        "one": pv.evidence(one, rows, **how),
        "other": pv.evidence(other, shifted, **how),
    }
    with pytest.raises(
        ValueError, match="the same observed cells, got other missing cells"
    ):
        pv.compare(each)
    full = {
        "one": pv.evidence(one, rows, **how),
        "full": pv.evidence(complete, X[:20], **how),
    }
    with pytest.raises(ValueError, match="another mask, for 'full' than for 'one'"):
        pv.compare(full)
    moved = np.roll(rows, 1, axis=1)  # as many cells, but others
    apart = {
        "one": pv.evidence(one, rows, **how),
        "moved": pv.evidence(one, moved, **how),
    }
    with pytest.raises(ValueError, match="other rows"):
        pv.compare(apart)


@pytest.mark.slow
def test_the_command_takes_tables_with_holes(tmp_path):
    from tests.cli.command import pyro_vae

    table().to_csv(tmp_path / "holes.csv", index=False)
    folder = tmp_path / "run"
    fast = ("--set", "fit.epochs=2", "--set", "evaluate.num_particles=30")
    done = pyro_vae("fit", tmp_path / "holes.csv", "--output", folder, *fast)
    assert done.status == 0, done.err
    rows = tmp_path / "holes.csv"
    for question in ("evaluate", "encode", "reconstruct", "anomaly"):
        output = (
            () if question == "evaluate" else ("--output", tmp_path / f"{question}.csv")
        )
        asked = pyro_vae(question, folder, "--data", rows, *output)
        assert asked.status == 0, asked.err
    loaded = pv.load(folder)
    assert loaded.spec.missing == "at_random"
