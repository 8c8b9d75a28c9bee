"""k-hat against ArviZ, against known tails, and where it is no fit."""

import arviz as az
import numpy as np
import pytest

from pyro_vae.analysis.marginal_likelihood.pareto import pareto_k, tail_length

OLD = az.__version__.startswith("0.")
NORMAL = [("normal", sd) for sd in (1e-3, 0.1, 0.5, 1, 2, 5, 50)]
PARETO = [("pareto", k) for k in (0.1, 0.3, 0.7, 1.0, 2.0)]


def weights(
    kind: str, parameter: float, rows: int, draws: int, seed: int = 0
) -> np.ndarray:
    """Log weights: normal with a standard deviation, or of an exact Pareto tail with a shape."""
    rng = np.random.default_rng(seed)
    drawn = (
        rng.normal(size=(rows, draws))
        if kind == "normal"
        else rng.exponential(size=(rows, draws))
    )
    return parameter * drawn - 300


def k_hat(log_weights: np.ndarray) -> np.ndarray:
    draws = log_weights.shape[1]
    return pareto_k(np.sort(log_weights)[:, -tail_length(draws) - 1 :], draws)


@pytest.mark.parametrize(
    ("draws", "length"),
    [
        (1, 0),
        (2, 1),
        (5, 1),
        (21, 5),
        (25, 5),
        (100, 20),
        (225, 45),
        (1000, 95),
        (10**5, 949),
    ],
)
def test_tail_length(draws: int, length: int) -> None:
    assert tail_length(draws) == length


@pytest.mark.skipif(not OLD, reason="ArviZ 0.x only")
@pytest.mark.parametrize("draws", [25, 100, 777, 1000, 5000])
@pytest.mark.parametrize(("kind", "parameter"), NORMAL + PARETO)
def test_agrees_with_arviz_0(kind: str, parameter: float, draws: int) -> None:
    log_weights = weights(kind, parameter, 20, draws)
    np.testing.assert_allclose(
        k_hat(log_weights), az.psislw(log_weights)[1], atol=1e-10, rtol=1e-10
    )


@pytest.mark.skipif(not OLD, reason="ArviZ 0.x only")
@pytest.mark.filterwarnings("ignore:overflow encountered in expm1:RuntimeWarning:arviz")
def test_agrees_with_arviz_0_where_most_weights_vanish() -> None:
    log_weights = weights("normal", 500.0, 50, 1000)
    np.testing.assert_allclose(
        k_hat(log_weights), az.psislw(log_weights)[1], rtol=1e-10
    )
    log_weights = weights("normal", 1e4, 50, 1000)
    assert np.isinf(az.psislw(log_weights)[1]).all()
    assert (k_hat(log_weights) == np.inf).all()


@pytest.mark.skipif(OLD, reason="ArviZ 1.x only")
@pytest.mark.parametrize(
    "draws", [100, 900, 10000]
)  # 1.x rounds the length of the tail down, the paper up
@pytest.mark.parametrize(("kind", "parameter"), NORMAL + PARETO)
def test_agrees_with_arviz_1(kind: str, parameter: float, draws: int) -> None:
    from arviz_stats.base import array_stats

    log_weights = weights(kind, parameter, 20, draws)
    np.testing.assert_allclose(
        k_hat(log_weights), array_stats.psislw(-log_weights)[1], atol=1e-10, rtol=1e-10
    )


@pytest.mark.parametrize("k", [0.3, 0.7, 1.0])
def test_recovers_a_known_tail(k: float) -> None:
    rows = 16
    draws = 100_000
    found = k_hat(weights("pareto", k, rows, draws))
    length = tail_length(draws)
    expected = (length * k + 5) / (length + 10)
    error = (1 + k) / np.sqrt(length)
    assert abs(found.mean() - expected) < 4 * error / np.sqrt(rows)
    assert (abs(found - expected) < 4 * error).all()


def test_a_constant_and_the_order_do_not_matter() -> None:
    log_weights = weights("normal", 1.0, 8, 1000)
    tail = np.sort(log_weights)[:, -tail_length(1000) - 1 :]
    shuffled = np.random.default_rng(1).permuted(tail, axis=1)
    np.testing.assert_array_equal(pareto_k(shuffled, 1000), pareto_k(tail, 1000))
    np.testing.assert_allclose(
        pareto_k(tail + 123, 1000), pareto_k(tail, 1000), rtol=1e-9
    )


def test_a_row_does_not_depend_on_its_batch() -> None:
    log_weights = np.concatenate(
        [
            weights(kind, p, 400, 1000)
            for kind, p in (*NORMAL, ("normal", 500.0), *PARETO)
        ]
    )
    together = k_hat(log_weights)
    alone = np.concatenate([k_hat(row[None]) for row in log_weights[::37]])
    np.testing.assert_allclose(together[::37], alone, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("level", [0.0, 1.0, -120.0, 5000.0])
def test_no_tail_where_weights_are_constant_up_to_rounding(level: float) -> None:
    noise = np.random.default_rng(0).normal(size=(3, 1000))
    exact = np.full((3, 1000), level)
    rounded = (level + 1e-7 * max(1.0, abs(level)) * np.clip(noise, -2, 2)).astype(
        np.float32
    )
    assert (k_hat(exact) == -np.inf).all()
    assert (k_hat(rounded) == -np.inf).all()
    assert np.isfinite(k_hat(level + 1e-3 * max(1.0, abs(level)) * noise)).all()


@pytest.mark.parametrize("draws", [1, 2, 10, 20])
def test_too_few_draws_to_tell(draws: int) -> None:
    assert np.isnan(k_hat(weights("normal", 1.0, 3, draws))).all()
    assert np.isnan(k_hat(np.zeros((3, draws)))).all()


def test_weights_that_are_no_numbers_or_vanish() -> None:
    tail = np.sort(weights("normal", 1.0, 5, 1000))[:, -tail_length(1000) - 1 :]
    good = pareto_k(tail, 1000)
    tail[0, 3], tail[1, 3], tail[2], tail[3, :-1] = np.nan, np.inf, -np.inf, -np.inf
    found = pareto_k(tail, 1000)
    assert np.isnan(found[:3]).all()
    assert found[3] == np.inf
    assert found[4] == good[4]
    assert pareto_k(tail[:0], 1000).shape == (0,)


@pytest.mark.parametrize("shape", [(96,), (3, 95), (3, 1000), (2, 3, 96)])
def test_the_shape_is_checked(shape: tuple[int, ...]) -> None:
    with pytest.raises(
        ValueError, match=r"tail: expected shape \(rows, 96\) for 1000 draws, got"
    ):
        pareto_k(np.zeros(shape), 1000)


def test_the_number_of_draws_is_checked() -> None:
    with pytest.raises(ValueError, match="num_draws: expected at least 1, got 0"):
        tail_length(0)
