"""Several models together: the mixture of what each says, against SciPy's numbers."""

import numpy as np
import pandas as pd
import pytest
import torch

import pyro_vae as pv
from pyro_vae.analysis.imputation.cells import LEVELS, Cells
from pyro_vae.analysis.imputation.conditional import Conditional
from pyro_vae.analysis.imputation.ensembles import mixture

DRAWS = 20_000


def of_normals(mean: np.ndarray, sd: np.ndarray, seed: int) -> Conditional:
    """What a model says whose missing cells are normal, with one category beside them."""
    rng = np.random.default_rng(seed)
    count = len(mean)
    draws = rng.normal(mean, sd, (DRAWS, count))
    cells = Cells(
        np.zeros(count, int),
        np.arange(count),
        mean,
        sd,
        np.full(count, 0.03),
        np.full(count, 0.02),
        np.quantile(draws, LEVELS, axis=0).T,
        np.full((count, 1), np.nan),
        draws,
    )
    return Conditional(cells, np.array([0.1 * seed]), np.array([50.0]), np.array([100]))


def test_moments_and_quantiles_of_a_mixture() -> None:
    from scipy.optimize import brentq
    from scipy.stats import norm

    means, sds = np.array([[0.0, 1.0], [3.0, 1.0]]), np.array([[1.0, 2.0], [0.5, 2.0]])
    found = mixture([of_normals(means[k], sds[k], k + 1) for k in range(2)], 7)
    np.testing.assert_allclose(found.cells.mean, [1.5, 1.0])
    # mean of variances and variance of means
    np.testing.assert_allclose(found.cells.sd, np.sqrt([0.625 + 2.25, 4.0]))
    np.testing.assert_allclose(found.cells.mean_se, 0.03 / np.sqrt(2))
    assert found.cells.draws.shape == (7, 2)
    assert found.pareto_k.tolist() == [0.2]
    assert found.ess.tolist() == [100.0]
    for column in range(2):

        def distribution(x: float, column: int = column) -> float:
            return float(norm.cdf(x, means[:, column], sds[:, column]).mean())

        for level, quantile in zip(LEVELS, found.cells.quantiles[column], strict=True):
            assert distribution(quantile) == pytest.approx(level, abs=0.01)
            exact = brentq(lambda x, at=level: distribution(x) - at, -20, 20)
            assert abs(distribution(exact) - level) < 1e-9


@pytest.fixture(scope="module")
def fitted() -> tuple[list[pv.VAE], np.ndarray]:
    rng = np.random.default_rng(0)
    size = rng.normal(size=(60, 1))
    x = size * [1.0, 2.0, -1.0] + 0.3 * rng.normal(size=(60, 3))
    holes = np.where(rng.random(x.shape) < 0.3, np.nan, x).astype(np.float32)
    vae = pv.VAE(
        data_shape=(3,), latent_dim=1, hidden_dims=(8,), missing="at_random", seed=4
    )
    runs = pv.fit_ensemble(vae, holes, ensemble=2, epochs=3, seed=1, progress=False)
    assert not bool(vae.initialized)
    return [run.vae for run in runs], holes


def test_members_differ_and_are_those_of_single_fits(fitted) -> None:
    members, holes = fitted
    assert [member.spec.seed for member in members] == [4, 5]
    alone = pv.VAE(
        data_shape=(3,), latent_dim=1, hidden_dims=(8,), missing="at_random", seed=5
    )
    pv.fit(alone, holes, epochs=3, seed=2, progress=False)
    for name, value in alone.state_dict().items():
        assert torch.equal(value, members[1].state_dict()[name])
    assert not torch.equal(
        members[0].likelihood.decoder(torch.ones(1, 1)),
        members[1].likelihood.decoder(torch.ones(1, 1)),
    )


def test_means_are_those_of_the_members(fitted) -> None:
    members, holes = fitted
    how = {"num_particles": 100, "num_imputations": 3, "progress": False}
    together = pv.impute(members, holes, **how)
    each = [
        pv.impute(member, holes, seed=number, **how)
        for number, member in enumerate(members)
    ]
    mean = np.mean([one.cells.mean for one in each], 0)
    np.testing.assert_allclose(together.cells.mean, mean, rtol=1e-12)
    assert len(together.completed) == 3
    assert together.found.num_particles.max() == 100
    again = pv.impute(members, holes, **how)
    np.testing.assert_array_equal(again.numbers(), together.numbers())


def test_an_ensemble_of_one_is_the_model(fitted) -> None:
    members, holes = fitted
    how = {"num_particles": 100, "num_imputations": 2, "progress": False}
    alone = pv.impute(members[0], holes, **how)
    listed = pv.impute(members[:1], holes, **how)
    np.testing.assert_array_equal(alone.numbers(), listed.numbers())


def test_predict_and_calibrate_take_several(fitted) -> None:
    members, holes = fitted
    found = pv.predict(members, holes, columns=[1], num_particles=100)
    assert found.shape == (60, 10)
    checked = pv.impute(
        members,
        holes,
        num_imputations=0,
        num_particles=100,
        calibrate=True,
        progress=False,
    )
    assert checked.calibration is not None


def test_what_is_refused(fitted) -> None:
    members, holes = fitted
    with pytest.raises(ValueError, match="empty list"):
        pv.impute([], holes)
    other = pv.VAE(data_shape=(2,), latent_dim=1, missing="at_random")
    with pytest.raises(ValueError, match="models of the same columns"):
        pv.impute([members[0], other], holes)
    rows = np.random.default_rng(0).normal(size=(20, 2))
    run = pv.fit(other, rows, epochs=1, progress=False)
    with pytest.raises(ValueError, match=r"expected a VAE, got Run; pass run\.vae"):
        pv.impute([run], holes)
    with pytest.raises(ValueError, match="at least 2"):
        pv.fit_ensemble(members[0], holes, ensemble=1)
    own = pv.VAE(data_shape=(3,), latent_dim=2, encoder=torch.nn.Linear(3, 4))
    with pytest.raises(ValueError, match="your own"):
        pv.fit_ensemble(own, holes)


def test_rows_without_a_missing_cell(fitted) -> None:
    members, _ = fitted
    found = pv.impute(members, np.zeros((4, 3)), num_imputations=2, progress=False)
    assert len(found.cells) == 0
    assert len(found.completed) == 2


def test_columns_of_other_units_or_levels_are_refused() -> None:
    frame = pd.DataFrame(
        {"x": [0.5, -1.0, 2.0, None] * 5, "c": ["u", "v", "v", "u"] * 5}
    )
    other = frame.assign(c=["w", "v", "v", "w"] * 5)
    far = frame.assign(x=frame["x"] + 1e9)
    first, *rest = (
        pv.VAE.from_data(each, latent_dim=1, hidden_dims=(4,))
        for each in (frame, other, far)
    )
    for model, name in zip(rest, ("c", "x"), strict=True):
        with pytest.raises(ValueError, match=f"same columns and units, .* of '{name}'"):
            pv.impute([first, model], frame)


def test_each_member_has_a_checkpoint_and_the_models_type(tmp_path) -> None:
    vae = pv.VAE(data_shape=(2,), latent_dim=1, hidden_dims=(4,)).double()
    x = np.random.default_rng(0).normal(size=(20, 2))
    runs = pv.fit_ensemble(
        vae, x, ensemble=2, epochs=1, checkpoint=tmp_path / "c", progress=False
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c-0", "c-1"]
    assert {p.dtype for run in runs for p in run.vae.parameters()} == {torch.float64}
