"""VAEDensity: its numbers are those of the library, and it works in pipelines and searches."""

import io
from dataclasses import replace
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import pyro_vae as pv
from pyro_vae.sklearn import VAEDensity

QUICK: dict[str, Any] = {
    "latent_dim": 2,
    "hidden_dims": (8,),
    "epochs": 3,
    "num_particles": 10,
    "random_state": 0,
    "device": "cpu",
    "fit_options": {"compile": "off"},
}
X = StandardScaler().fit_transform(load_iris().data)
FRAME = pd.DataFrame(X, columns=["a", "b", "c", "d"]).assign(
    species=load_iris().target_names[load_iris().target]
)


@pytest.fixture(scope="module")
def density() -> VAEDensity:
    return VAEDensity(**QUICK).fit(X)


@pytest.fixture(scope="module")
def of_frame() -> VAEDensity:
    return VAEDensity(**QUICK).fit(FRAME)


@pytest.mark.slow
def test_a_linear_model_has_the_density_of_probabilistic_pca() -> None:
    linear = {**QUICK, "hidden_dims": (), "epochs": 250, "num_particles": 50}
    linear |= {"likelihood": {"kind": "normal", "scale": "learned"}, "lr": 0.05}
    found = VAEDensity(**linear, validation=None).fit(X)
    exact = PCA(2).fit(X)
    assert found.score(X) == pytest.approx(exact.score(X), abs=0.005)
    rows = found.score_samples(X)
    assert np.abs(rows - exact.score_samples(X)).mean() < 0.05


def test_its_answers_are_those_of_the_library(density: VAEDensity) -> None:
    vae = density.vae_
    codes = density.transform(X)
    np.testing.assert_array_equal(codes, pv.encode(vae, X).loc)
    found = pv.evidence(vae, X, num_particles=10, seed=density._seed)
    np.testing.assert_array_equal(density.score_samples(X), found.log_marginal)
    assert density.score(X) == pytest.approx(found.mean_log_marginal, abs=1e-12)
    np.testing.assert_allclose(
        density.inverse_transform(codes), pv.reconstruct(vae, X), rtol=1e-12
    )
    assert density.n_iter_ == len(density.history_) == 3


def test_rows_of_torch_are_those_of_numpy(density: VAEDensity) -> None:
    codes = density.transform(torch.tensor(X))
    np.testing.assert_array_equal(codes, density.transform(X))


def test_draws_have_a_state_of_their_own(density: VAEDensity) -> None:
    first = density.sample(4, random_state=1)
    assert first.shape == (4, 4)
    np.testing.assert_array_equal(first, density.sample(4, random_state=1))
    assert (first != density.sample(4, random_state=2)).any()


def test_one_state_gives_one_model_and_another_a_different_one() -> None:
    def codes(state: int) -> np.ndarray:
        made: np.ndarray = VAEDensity(**{**QUICK, "random_state": state}).fit_transform(
            X
        )
        return made

    first = codes(3)
    np.testing.assert_array_equal(first, codes(3))
    assert np.abs(first - codes(4)).max() > 0.01


def test_a_frame_goes_in_and_comes_out(of_frame: VAEDensity) -> None:
    assert list(of_frame.feature_names_in_) == list(FRAME.columns)
    kinds = [column.kind for column in of_frame.vae_.spec.table.columns]
    assert kinds == [*["normal"] * 4, "categorical"]
    for made in (
        of_frame.sample(3, random_state=0),
        of_frame.inverse_transform(of_frame.transform(FRAME)),
    ):
        assert made.dtypes.equals(FRAME.dtypes)
        assert set(made["species"]) <= set(FRAME["species"])
    wrong = FRAME.rename(columns={"a": "z"})
    with pytest.raises(ValueError, match="feature names should match"):
        of_frame.transform(wrong)


def test_an_array_is_read_as_the_columns_of_the_frame_in_order() -> None:
    numbers = FRAME.drop(columns="species")
    fitted = VAEDensity(**QUICK).fit(numbers)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        codes = fitted.transform(numbers.to_numpy())
    np.testing.assert_array_equal(codes, fitted.transform(numbers))


def test_outputs_are_frames_where_asked_for(of_frame: VAEDensity) -> None:
    asked = clone(of_frame).set_output(transform="pandas")
    made = asked.fit(FRAME).transform(FRAME.set_index(FRAME.index + 7))
    assert list(made.columns) == list(asked.get_feature_names_out())
    assert made.index[0] == 7
    np.testing.assert_array_equal(made, of_frame.transform(FRAME))


def test_missing_cells_in_fit_make_a_model_of_them() -> None:
    holes = np.where(np.random.default_rng(0).random(X.shape) < 0.2, np.nan, X)
    fitted = VAEDensity(**QUICK).fit(holes)
    assert fitted.vae_.spec.missing == "at_random"
    assert np.isfinite(fitted.score_samples(holes)).all()
    assert fitted.score_samples(np.full((1, 4), np.nan)) == pytest.approx(0)


def test_a_search_over_priors_and_likelihoods() -> None:
    grid = {
        "prior": ["standard_normal", {"kind": "mixture", "components": 2}],
        "likelihood": ["normal", "student_t"],
    }
    search = GridSearchCV(VAEDensity(**QUICK), grid, cv=2).fit(X)
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all()
    assert len(set(scores)) == 4
    best = search.best_estimator_.vae_.spec
    assert best.likelihood.kind == search.best_params_["likelihood"]


@pytest.mark.slow
def test_folds_in_two_processes_score_as_in_one() -> None:
    steps = make_pipeline(StandardScaler(), VAEDensity(**QUICK), LogisticRegression())
    here, there = (
        cross_val_score(steps, X, load_iris().target, cv=3, n_jobs=jobs)
        for jobs in (1, 2)
    )
    np.testing.assert_allclose(here, there)


def test_a_part_of_the_user_is_copied_and_not_trained() -> None:
    encoder = nn.Sequential(nn.Linear(4, 5), nn.Tanh())
    before = [weight.clone() for weight in encoder.parameters()]
    own = VAEDensity(**QUICK, encoder=encoder)
    fitted = clone(own).fit(X)
    assert isinstance(fitted.vae_.posterior.encoder, nn.Sequential)
    assert own.fit(X).encoder is encoder
    assert all(map(torch.equal, before, encoder.parameters()))


def test_joblib_keeps_every_digit(density: VAEDensity) -> None:
    file = io.BytesIO()
    joblib.dump(density, file)
    file.seek(0)
    again = joblib.load(file)
    np.testing.assert_array_equal(again.score_samples(X), density.score_samples(X))
    assert again.get_params() == density.get_params()


def test_a_score_that_is_not_to_be_trusted_is_warned_about_once(
    density: VAEDensity, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = pv.evidence(density.vae_, X, num_particles=10)
    enough = replace(found, num_particles=np.full(len(X), 1000))
    good, bad = (
        replace(enough, pareto_k=np.where(np.arange(len(X)) < count, 0.9, 0.1))
        for count in (0, 30)
    )
    monkeypatch.setattr("pyro_vae.sklearn.density.evidence", lambda *a, **b: bad)
    message = r"^score: log p\(x\) of 20.0% of the rows .* more num_particles"
    with pytest.warns(UserWarning, match=message) as warned:
        assert density.score(X) == pytest.approx(found.mean_log_marginal)
    assert len(warned) == 1
    monkeypatch.setattr("pyro_vae.sklearn.density.evidence", lambda *a, **b: good)
    density.score(X)


WRONG: dict[str, tuple[Any, str]] = {
    "text": (
        [["a"], ["b"]],
        r"^X: expected numbers, got text such as 'a'; pass a Data",
    ),
    "text in objects": (
        np.array([[1.0, "a"], [2.0, "b"]], object),
        r"^X: expected numbers, got text such as 'a'; pass a DataFrame",
    ),
    "one column": (X[:, 0], r"^X: .* \(n, features\), got shape \(150,\)\. Reshape "),
    "a series": (FRAME["a"], r"^X: .* got shape \(150,\).*X.reshape\(-1, 1\)"),
    "one row": (X[:1], r"1 sample\(s\)"),
    "a table of one row": (
        FRAME[:1],
        r"^X: expected at least 2 rows, got n_samples = 1",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_rows_that_are_none_are_refused(case: str) -> None:
    rows, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        VAEDensity(**QUICK).fit(rows)


def test_the_remedies_work() -> None:
    VAEDensity(**QUICK).fit(X[:, 0].reshape(-1, 1))
    VAEDensity(**QUICK).fit(pd.DataFrame({"a": ["u", "v"] * 9, "b": range(18)}))
    named = {"columns": {"species": "left_out"}}
    message = r"^columns, drop: expected a DataFrame .* got an array; pass pandas.Data"
    with pytest.raises(ValueError, match=message):
        VAEDensity(**QUICK, **named).fit(X)
    assert VAEDensity(**QUICK, **named).fit(FRAME).vae_.spec.data_shape == (4,)


def test_codes_of_another_length_are_refused(density: VAEDensity) -> None:
    with pytest.raises(
        ValueError, match=r"^X: expected codes of shape \(n, 2\), got \(150, 4\)"
    ):
        density.inverse_transform(X)
    with pytest.raises(ValueError, match=r"^n_samples: .* at least 1, got 0"):
        density.sample(0)


def test_a_row_of_a_table_has_the_same_score_beside_others_and_alone() -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"a": rng.normal(size=60), "b": rng.normal(size=60)})
    density = VAEDensity(**QUICK).fit(rows)
    alone = [density.score_samples(rows[i : i + 1])[0] for i in range(5)]
    np.testing.assert_allclose(density.score_samples(rows[:5]), alone, rtol=1e-12)
