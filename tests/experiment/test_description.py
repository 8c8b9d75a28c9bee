"""The description of a run, the rows it holds out, and the numbers it ends in."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import pyro_vae as pv
from pyro_vae.analysis import rate
from pyro_vae.analysis.report.linear_gaussian import LinearGaussian
from pyro_vae.data import Splits, as_rows
from pyro_vae.experiment.description import (
    DataOptions,
    EvaluateOptions,
    Experiment,
    make_vae,
    natural_likelihood,
)
from pyro_vae.experiment.evaluation import evaluate, table
from pyro_vae.experiment.fields import DIGITS
from pyro_vae.experiment.run_folder import finite
from pyro_vae.experiment.settings import override
from pyro_vae.experiment.sources import read_source
from pyro_vae.experiment.splits import check_rows, hold_out, read_data
from tests.watched import Watched

TRUTH = LinearGaussian.random()


def splits(rows: int = 10, **others: Any) -> Splits:
    given = {"valid": None, "test": None, "columns": None, **others}
    return Splits("some", train=np.arange(2.0 * rows).reshape(rows, 2), **given)


# The description


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("latent_dim=3", {"latent_dim": 3}),
        ("fit.lr=2e-3", {"fit": {"epochs": 1, "lr": 2e-3}}),
        ("hidden_dims=[32, 16]", {"hidden_dims": [32, 16]}),
        ("prior=flat", {"prior": "flat"}),
        ("data=my file.npy", {"data": "my file.npy"}),
        ('data="digits"', {"data": "digits"}),
        ("data.test=0.5", {"data": {"source": "digits", "test": 0.5}}),
        (
            "likelihood.total_count=4",
            {"likelihood": {"kind": "binomial", "total_count": 4}},
        ),
        ("guide.kind=full_rank", {"guide": {"kind": "full_rank"}}),
        (
            "fit.optimizer_options.betas=[0.5, 0.9]",
            {"fit": {"epochs": 1, "optimizer_options": {"betas": [0.5, 0.9]}}},
        ),
        ("data=a=b.npy", {"data": "a=b.npy"}),
        (
            "likelihood={kind='normal', scale=0.5}",
            {"likelihood": {"kind": "normal", "scale": 0.5}},
        ),
        ("standardize=none", {"standardize": "none"}),
        ("data.packed_bits=true", {"data": {"source": "digits", "packed_bits": True}}),
    ],
)
def test_one_field_is_overridden(setting: str, expected: dict[str, Any]) -> None:
    fields = {"data": "digits", "likelihood": "binomial", "fit": {"epochs": 1}}
    before = {"data": "digits", "likelihood": "binomial", "fit": {"epochs": 1}}
    assert override(fields, [setting]) == {**before, **expected}
    assert fields == before


def test_later_settings_win() -> None:
    assert override({}, ["fit.lr=1", "fit.epochs=2", "fit.lr=3"]) == {
        "fit": {"lr": 3, "epochs": 2}
    }


def test_the_digits_are_described_without_a_surprise() -> None:
    experiment = Experiment.model_validate(DIGITS)
    assert experiment.data.source == "digits"
    likelihood = experiment.model_fields_of()["likelihood"]
    assert likelihood == {
        "kind": "beta_binomial",
        "total_count": 16,
        "concentration": "decoder",
    }
    assert not {"data", "fit", "evaluate"} & set(experiment.model_fields_of())


def test_an_error_names_path_and_problem() -> None:
    with pytest.raises(ValueError, match="fit") as caught:
        Experiment.model_validate(
            {"fit": {"epochs": 0, "epoch": 1}, "evaluate": {"rows": "x"}}
        )
    fewer, unknown, text = str(caught.value).split("\n  ")
    assert fewer == "fit.epochs: Input should be greater than 0, got 0"
    assert unknown.startswith(
        "fit.epoch: unknown field; allowed: 'epochs', 'batch_size'"
    )
    assert text.startswith("evaluate.rows: Input should be a valid integer")


# The rows


@pytest.mark.parametrize(
    ("share", "count"), [(0.2, 2), (0.25, 3), (1, 1), (9, 9), (0.01, 1)]
)
def test_some_rows_are_held_out(share: float, count: int) -> None:
    rows = hold_out(splits(), DataOptions(source="some.npy", test=share))
    assert rows.test.shape == (count, 2)
    both = np.concatenate([rows.splits.train, rows.test])
    np.testing.assert_array_equal(both[both[:, 0].argsort()], splits().train)
    assert (np.diff(rows.test[:, 0]) > 0).all()  # in the order of the source
    assert rows.labels is None


def test_rows_of_a_file_stay_there(tmp_path: Path) -> None:
    """But for those that are held out; they are the rows that an array has, in the same order."""
    x = np.random.default_rng(0).integers(0, 2, (5000, 2)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    Watched.asked = []
    file = np.load(tmp_path / "x.npy", mmap_mode="r").view(Watched)
    options = DataOptions(source="x.npy", test=50)
    mapped = hold_out(Splits("x", file, None, None, None), options)
    copied = hold_out(Splits("x", x, None, None, None), options)
    vae = make_vae(Experiment(data=options, latent_dim=1), file)
    assert max(shape[0] for shape in Watched.asked) == 1000
    np.testing.assert_array_equal(mapped.test, copied.test)
    batches = as_rows(mapped.train, (2,)).batches(100)
    np.testing.assert_array_equal(torch.cat([*batches]).numpy(), copied.train)
    assert (len(mapped.train), vae.spec.likelihood.kind) == (4950, "bernoulli")


def test_the_choice_follows_its_seed() -> None:
    first, again, other = (
        hold_out(splits(100), DataOptions(source="some.npy", seed=seed)).test
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_the_test_rows_of_the_source_are_taken() -> None:
    given = splits(valid=np.zeros((3, 2)), test=np.ones((4, 2)))
    assert hold_out(given, DataOptions(source="some.npz")).splits is given


@pytest.mark.parametrize("test", [0, 10, 11])
def test_too_many_or_no_rows_are_refused(test: int) -> None:
    with pytest.raises(
        ValueError, match=rf"data.test: .* some.npy .* got {test} of 10 rows"
    ):
        hold_out(splits(), DataOptions(source="some.npy", test=test))


def test_labels_are_those_of_the_held_out_digits() -> None:
    rows, digits = read_data(DataOptions(), None), load_digits()
    assert rows.labels is not None
    assert len(rows.labels) == len(rows.test) == 360
    label_of = {
        row.tobytes(): label
        for row, label in zip(digits.data.astype(np.uint8), digits.target, strict=True)
    }
    assert [label_of[row.tobytes()] for row in rows.test] == rows.labels.tolist()


def test_rows_are_reshaped(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "x.npz",
        train=np.arange(24).reshape(2, 12),
        test=np.arange(12).reshape(1, 12),
    )
    found = read_source(DataOptions(source=str(tmp_path / "x.npz")), (3, 4))
    assert found.train.shape == (2, 3, 4)
    assert found.test is not None
    np.testing.assert_array_equal(found.test[0], np.arange(12).reshape(3, 4))
    assert found.valid is None
    options = DataOptions(source=str(tmp_path / "x.npz"))
    message = r"x.npz: expected rows of shape \(5,\), got \(12,\); "
    with pytest.raises(
        ValueError, match=rf"{message}set data_shape=\[12\], or give rows of shape"
    ):
        read_source(options, (5,))
    with pytest.raises(ValueError, match=rf"{message}pass rows of the model's shape"):
        read_source(options, (5,), fitted=True)


def test_the_bad_row_is_named_by_its_position_in_the_source() -> None:
    vae, bad = pv.VAE(data_shape=(2,), latent_dim=1), np.zeros((300, 2))
    bad[270, 1] = np.inf
    with pytest.raises(
        ValueError,
        match=r"some\.npy: expected finite numbers, got inf in row 270, column 1",
    ):
        check_rows(vae, Splits("some", bad, None, None, None), "some.npy")
    with pytest.raises(
        ValueError,
        match=r"some\.npz, test: expected finite numbers, got inf in row 270, column 1",
    ):
        check_rows(vae, Splits("some", bad[:9], None, bad, None), "some.npz")


# The model


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        (np.array([[0, 1], [1, 1]]), "bernoulli"),
        (np.array([[False, True]]), "bernoulli"),
        (np.array([[0.0, 1.0]]), "bernoulli"),
        (np.array([[0, 2]]), "normal"),
        (np.array([[0.0, 0.5]]), "normal"),
        (np.array([[0.0, np.nan]]), "bernoulli"),
        (np.concatenate([np.ones((5000, 2)), [[1, 0.5]]]), "normal"),
    ],
)
def test_the_natural_likelihood(rows: np.ndarray, kind: str) -> None:
    assert natural_likelihood(rows).likelihood == kind
    assert (
        make_vae(
            Experiment.model_validate({"hidden_dims": [4]}), rows
        ).spec.likelihood.kind
        == kind
    )


def test_a_likelihood_that_is_asked_for_is_taken() -> None:
    asked = Experiment.model_validate({"likelihood": "normal", "hidden_dims": [4]})
    assert make_vae(asked, np.array([[0, 1]])).spec.likelihood.kind == "normal"


# The numbers


def test_metrics_are_those_of_the_parts() -> None:
    vae, x = TRUTH.vae(widen=1.3), TRUTH.sample(40).numpy()
    metrics, found = evaluate(
        vae, x, EvaluateOptions(num_particles=200, seed=4), progress=False
    )
    assert found is not None
    expected = pv.evidence(vae, x, num_particles=200, seed=4)
    np.testing.assert_array_equal(found.log_marginal, expected.log_marginal)
    assert metrics["log_marginal"] == expected.mean_log_marginal
    assert metrics["log_marginal_se"] == expected.mean_log_marginal_se
    assert metrics["elbo"] == expected.mean_elbo
    assert metrics["elbo_se"] == expected.mean_elbo_se
    assert metrics["median_ess"] == expected.median_ess
    assert metrics["unreliable"] == expected.unreliable_share
    assert metrics["worst"] == tuple(expected.worst())
    assert (
        metrics["num_particles"]
        == metrics["most_particles"]
        == expected.num_particles[0]
    )
    assert metrics["constant"] == metrics["capped"] == metrics["retried"] == 0
    assert metrics["methods"] == expected.methods
    assert metrics["measure"] == "density of columns 0:5"
    assert "bits_per_dim" not in metrics  # of a density
    assert metrics["rate"] == pytest.approx(rate(vae, x).mean())
    left = ((pv.reconstruct(vae, x) - x) ** 2).mean(0) / x.var(0)
    assert metrics["unexplained_variance"] == pytest.approx(left.mean())
    assert metrics["latent_dim"] == metrics["active_units"] == 2
    exact = TRUTH.marginal().log_prob(TRUTH.sample(40)).mean()
    assert abs(metrics["log_marginal"] - exact) < 4 * metrics["monte_carlo_se"]


def test_some_of_the_rows_are_chosen_at_random() -> None:
    vae, x = TRUTH.vae(widen=1.3), TRUTH.sample(40).numpy()
    all_rows = pv.evidence(vae, x, num_particles=50)
    chosen = {}
    for seed in (0, 1):
        metrics, found = evaluate(
            vae,
            x,
            EvaluateOptions(num_particles=50, rows=15, seed=seed),
            progress=False,
        )
        assert found is not None
        assert (
            metrics["rows"]
            == len(found.log_marginal)
            == len(np.unique(found.log_marginal))
            == 15
        )
        chosen[seed] = found.log_marginal
    assert np.abs(chosen[0][:, None] - all_rows.log_marginal).min(1).max() < 1e-9
    assert set(chosen[0].round(9)) != set(chosen[1].round(9))
    more, _ = evaluate(
        vae, x, EvaluateOptions(num_particles=5, rows=100), progress=False
    )
    assert more["rows"] == 40


def test_integers_do_not_wrap_around() -> None:
    """2 - 3 is 255 in unsigned bytes."""
    vae = pv.VAE(
        data_shape=(4,),
        latent_dim=2,
        likelihood={"kind": "binomial", "total_count": 16},
    )
    x = np.random.default_rng(0).integers(0, 17, size=(30, 4)).astype(np.uint8)
    metrics, _ = evaluate(vae, x, EvaluateOptions(num_particles=2), progress=False)
    left = np.square(pv.reconstruct(vae, x) - x.astype(float)).mean(0) / x.var(0)
    assert metrics["unexplained_variance"] == pytest.approx(left.mean())
    assert metrics["bits_per_dim"] == pytest.approx(
        -metrics["log_marginal"] / (4 * math.log(2))
    )


def test_an_autoencoder_has_no_evidence() -> None:
    vae = pv.VAE(data_shape=(5,), latent_dim=2, prior="flat", guide="delta").double()
    metrics, found = evaluate(vae, TRUTH.sample(9).numpy(), EvaluateOptions())
    assert found is None
    assert set(metrics) == {
        "rows",
        "latent_dim",
        "active_units",
        "unexplained_variance",
    }
    assert "log p(x)" not in table(metrics)
    assert "nats" not in table(metrics)


def test_the_table_says_what_is_unknown() -> None:
    vae, x = TRUTH.vae(widen=1.3), TRUTH.sample(9).numpy()
    few, many = (
        evaluate(vae, x, EvaluateOptions(num_particles=k), progress=False)[0]
        for k in (5, 100)
    )
    assert "unknown: too few draws to estimate k-hat" in table(few)
    assert "trusted               all rows (9 refined)" in table(many)
    assert "held-out" in table(many)
    assert "held-out" not in table(many, held_out=False)
    assert all(len(line) <= 80 for line in table(many).splitlines())


def test_the_table_says_what_is_not_to_be_trusted() -> None:
    metrics, _ = evaluate(
        TRUTH.vae(widen=1.3), TRUTH.sample(9).numpy(), EvaluateOptions(num_particles=50)
    )
    doubtful = table(
        {
            **metrics,
            "unreliable": 1 / 9,
            "low_by": 0.25,
            "methods": {"refined": 8, "annealed": 1},
        }
    )
    assert (
        "88.9% of rows (8 refined, 1 annealed); on the others log p(x) is a low estimate"
        in doubtful
    )
    assert "by about 0.25 nats in the mean or more" in doubtful


def test_json_has_no_word_for_what_is_not_finite() -> None:
    value = {
        "a": math.nan,
        "b": {"c": -math.inf, "d": 1.5},
        "e": [1, 2],
        "f": None,
        "g": True,
    }
    assert finite(value) == {
        "a": None,
        "b": {"c": None, "d": 1.5},
        "e": [1, 2],
        "f": None,
        "g": True,
    }
