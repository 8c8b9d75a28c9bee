"""How long a run is, what it says in the end, and what it has to beat."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from pyro_vae import VAE
from pyro_vae.training import FitOptions, Run, fit, sanity_check
from pyro_vae.training.baseline import baseline_of
from pyro_vae.training.options import with_budget
from tests.training.small import X, same, small, weights


def row(epoch, val_loss, **fields):
    return {
        "epoch": epoch,
        "elbo": -1.0,
        "seconds": 0.5,
        "val_loss": val_loss,
        "val_elbo": -val_loss,
        **fields,
    }


def a_run(losses, **fields):
    run = Run(small(), FitOptions(), **fields)
    for epoch, loss in enumerate(losses, 1):
        run.keep(row(epoch, loss))
    return run


# How long


@pytest.mark.parametrize(
    ("steps", "epochs"),
    [(1, 4000), (2, 2000), (7, 572), (39, 103), (40, 100), (469, 100)],
)
def test_small_data_get_as_many_epochs_as_make_the_steps(steps, epochs):
    assert with_budget(FitOptions(), steps).epochs == epochs
    assert with_budget(FitOptions(epochs=5), steps).epochs == 5


def test_only_the_default_budget_ends_early():
    assert with_budget(FitOptions(), 1).patience == 2000
    assert with_budget(FitOptions(patience=7), 1).patience == 7
    assert with_budget(FitOptions(epochs=5), 1).patience is None


@pytest.mark.slow
def test_the_budget_is_that_of_the_run():
    run = fit(small(), X, min_steps=230, batch_size=16, validation=None)
    assert len(run.history) == run.options.epochs == 100
    run = fit(small(), X, min_steps=440, batch_size=16, validation=None)
    assert len(run.history) == run.options.epochs == 110


def test_numbers_of_numpy_are_numbers():
    plain = fit(
        small(), X, epochs=2, seed=3, validation=20, batch_size=16, num_particles=2
    )
    options = {
        "epochs": np.int32(2),
        "seed": np.int64(3),
        "batch_size": np.uint8(16),
        "num_particles": np.int64(2),
    }
    other = fit(small(), X, validation=np.int64(20), lr=np.float32(1e-3), **options)
    assert other.options.seed == 3
    assert (
        same(weights(plain.vae), weights(other.vae))
        or other.options.lr != plain.options.lr
    )
    assert (
        fit(small(), X, epochs=1, validation=np.float64(0.2)).history[0].keys()
        == plain.history[0].keys()
    )


@pytest.mark.parametrize("value", [True, False, np.True_])
def test_true_is_no_number_of_rows(value):
    with pytest.raises(
        ValueError,
        match=r"^validation: expected a share, a number of rows.* take validation=0\.1",
    ):
        fit(small(), X, epochs=1, validation=value)


@pytest.mark.parametrize("name", ["epochs", "seed", "batch_size", "patience"])
def test_true_is_no_integer(name):
    with pytest.raises(ValueError, match=name):
        fit(small(), X, **{"epochs": 1, name: True})


# What it says


def test_a_run_is_short_in_words():
    run = a_run([3.0, 2.0, 2.5], baseline=-4.0)
    assert repr(run) == "Run(best epoch 2 of 3, validation ELBO -2.00 nats per row)"
    assert run.summary().splitlines() == [
        "3 epochs in 1.5 s; the weights are those of epoch 2",
        "validation ELBO -2.00 nats per row; independent columns have -4.00",
    ]


def test_a_short_run_has_its_seconds():
    run = a_run([3.0, 2.0])
    for row, seconds in zip(run.history, (0.021, 0.013), strict=True):
        row["seconds"] = seconds
    assert run.summary().startswith("2 epochs in 0.034 s;")


def test_a_run_without_an_epoch_has_words():
    assert repr(a_run([])) == "Run(best epoch 0 of 0)"
    assert a_run([]).summary()


STEADY = [5 - 0.1 * epoch for epoch in range(40)]


@pytest.mark.parametrize(
    ("losses", "improving"),
    [
        (STEADY, True),
        ([*STEADY, 5.0], False),
        ([*STEADY[:38], *[STEADY[37]] * 10], False),
        ([1.0], False),
    ],
    ids=["falling", "the last is worse", "flat in the end", "one epoch"],
)
def test_a_run_says_when_more_may_help(losses, improving):
    run = a_run(losses)
    assert run.still_improving == improving
    assert (
        "still improving: the last epoch is the best; epochs=80" in run.summary()
    ) == improving


# What it has to beat


def with_independent(loc, scale):
    """A model whose independent columns are normal with these moments, and better than it is."""
    columns = torch.distributions.Normal(
        torch.as_tensor(loc).float(), torch.as_tensor(scale).float()
    )
    vae = small(likelihood={"kind": "normal", "scale": 40.0})  # too wide for any row
    vae.likelihood.independent = lambda: torch.distributions.Independent(columns, 1)
    return vae


def normal_log_density(x, loc, scale):
    return (
        -0.5 * ((x - loc) / scale) ** 2 - np.log(scale) - 0.5 * math.log(2 * math.pi)
    ).sum(1)


@pytest.mark.parametrize(
    "validation", [X[:10], None], ids=["validation rows", "training rows"]
)
def test_the_baseline_is_the_density_of_independent_columns(validation):
    loc, scale = X.mean(0), X.std(0)
    rows = X if validation is None else validation
    with pytest.warns(
        UserWarning,
        match=r"fit: the (validation|training) ELBO, .*below independent columns",
    ):
        run = fit(
            with_independent(loc, scale), X, validation=validation, epochs=1, lr=1e-30
        )
    assert run.baseline == pytest.approx(
        normal_log_density(rows, loc, scale).mean(), rel=1e-5
    )
    assert "below independent columns" in run.summary()


def test_the_baseline_is_compared_with_the_tightest_bound():
    """Five draws of a wide guide: their bound is above independent columns, the ELBO is below."""
    run = Run(small(), FitOptions(), baseline=-3.0, best_epoch=1)
    run.history = [{"epoch": 1, "seconds": 1.0, "val_loss": 2.5, "val_elbo": -6.5}]
    assert run.bound == -6.5
    assert "validation ELBO, -6.50 nats per row, is 3.50 below" in str(run.warning)
    run.is_importance_weighted = True
    assert (run.elbo, run.bound, run.warning) == (-6.5, -2.5, None)
    assert "ELBO -6.50 nats per row, importance weighted bound -2.50" in run.summary()
    run.history[0]["val_loss"] = 4.0
    assert "importance weighted bound, -4.00 nats per row, is 1.00 below" in str(
        run.warning
    )


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        ("elbo", False),
        ("iwae", True),
        ("renyi", True),
        ({"kind": "renyi", "alpha": 2.0}, False),  # which is below the ELBO
    ],
)
def test_which_losses_are_importance_weighted(objective, expected):
    run = fit(small(), X, objective=objective, epochs=1, validation=None)
    assert run.is_importance_weighted is expected
    assert (run.bound == run.elbo) is not expected


def test_weights_count_in_the_baseline_too():
    loc, scale, counts = X.mean(0), X.std(0), np.arange(50.0)
    with pytest.warns(UserWarning, match="below independent columns"):
        run = fit(
            with_independent(loc, scale),
            X,
            weights=counts,
            validation=49,
            epochs=1,
            lr=1e-30,
            seed=1,
        )
    with pytest.warns(UserWarning, match="below independent columns"):
        even = fit(
            with_independent(loc, scale), X, validation=49, epochs=1, lr=1e-30, seed=1
        )
    each = normal_log_density(X, loc, scale)
    assert run.baseline == pytest.approx((counts * each).sum() / counts.sum(), abs=0.3)
    assert run.baseline != pytest.approx(even.baseline, abs=1e-3)


def test_the_baseline_of_any_rows_is_the_same_density():
    loc, scale = X.mean(0), X.std(0)
    expected = normal_log_density(X[:20], loc, scale).mean()
    assert baseline_of(with_independent(loc, scale), X[:20]) == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize("validation", [0.2, None])
def test_grey_rows_have_a_baseline_where_their_bits_are_drawn_once(validation):
    grey = np.random.default_rng(0).random((50, 4))
    run = fit(
        small(likelihood="bernoulli"),
        grey,
        binarize="dynamic",
        epochs=1,
        validation=validation,
    )
    assert (run.baseline is None) == (validation is None)
    assert run.baseline is None or -4 < run.baseline < -2  # near 4 log ½


def test_a_likelihood_without_an_independent_form_has_no_baseline():
    class Bare(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = small().likelihood

        def forward(self, z):
            return self.inner(z)

    run = fit(small(likelihood=Bare()), X, epochs=1)
    assert run.baseline is None
    assert run.warning is None


# Gradients, and batches of one row


@pytest.mark.parametrize(
    "off", [torch.no_grad, torch.inference_mode], ids=["no_grad", "inference_mode"]
)
def test_gradients_are_on_inside(off):
    plain = fit(small(), X, epochs=2, batch_size=16)
    vae = small()
    with off():
        run = fit(vae, X, epochs=2, batch_size=16)
        assert not torch.is_grad_enabled()
    assert same(weights(run.vae), weights(plain.vae))


def test_gradients_switched_off_stay_off_outside():
    torch.set_grad_enabled(False)
    try:
        fit(small(), X, epochs=1)
        assert not torch.is_grad_enabled()
    finally:
        torch.set_grad_enabled(True)


def test_weights_without_gradients_are_refused():
    with torch.inference_mode():
        vae = small()
    with pytest.raises(
        ValueError, match=r"^vae: expected weights that have gradients.*outside"
    ):
        fit(vae, X, epochs=1)


def normed():
    encoder = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.SiLU())
    return small(encoder=encoder)


@pytest.mark.parametrize(
    ("x", "size"), [(X[:49], 16), (X, 1)], ids=["49 in 16s", "one each"]
)
def test_a_last_batch_of_one_row_is_told_at_the_start(x, size):
    vae = normed()
    with pytest.raises(
        ValueError, match=r"^batch_size: .* batch of one row.*take batch_size=\d+$"
    ) as found:
        fit(vae, x, batch_size=size, epochs=2, validation=None)
    remedy = int(str(found.value).rpartition("=")[2])
    assert fit(normed(), x, batch_size=remedy, epochs=2, validation=None).history


def test_a_single_row_has_no_batch_size():
    with pytest.raises(
        ValueError, match=r"^batch_size: .* take networks without BatchNorm$"
    ):
        fit(normed(), X[:1], epochs=2, validation=None)


def test_a_last_batch_of_one_row_is_no_trouble_without_batchnorm():
    assert (
        len(fit(small(), X[:49], batch_size=16, epochs=2, validation=None).history) == 2
    )


def test_a_look_at_one_row_changes_nothing(monkeypatch):
    """BatchNorm's statistics and the noise of training are those of a run that doesn't look."""
    looks = []
    with_a_look = fit(dropping(), X[:33], batch_size=16, epochs=2, validation=None)
    monkeypatch.setattr(
        sanity_check, "_require_lone_row", lambda *given: looks.append(given)
    )
    without = fit(dropping(), X[:33], batch_size=16, epochs=2, validation=None)
    assert looks
    assert same(weights(with_a_look.vae), weights(without.vae))


def dropping():
    """A net that draws noise in training and keeps statistics, and takes single rows."""
    torch.manual_seed(0)
    return small(
        encoder=nn.Sequential(
            nn.Linear(4, 8),
            nn.Unflatten(1, (2, 4)),
            nn.BatchNorm1d(2),
            nn.Dropout(0.5),
            nn.Flatten(),
        )
    )


# Numbers that are none


def test_units_that_leave_float32_are_told_before_the_first_step():
    vae = VAE(
        data_shape=(4,),
        latent_dim=2,
        hidden_dims=(8,),
        likelihood={"kind": "normal", "scale": 1e-30},
    )
    with pytest.raises(
        ValueError,
        match=r"^fit: the loss is not finite before the first step .*float64",
    ):
        fit(vae, 1e30 * X.astype(np.float64), epochs=1)


def test_a_loss_that_is_not_finite_from_the_start_is_not_blamed_on_the_learning_rate():
    class Nowhere(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(1.0))

        def forward(self, z):
            loc = torch.full((*z.shape[:-1], 4), 1e30) * self.weight
            return torch.distributions.Independent(
                torch.distributions.Normal(loc, 1e-5), 1
            )

    with pytest.raises(
        ValueError, match=r"not finite before the first step.*so no learning rate helps"
    ):
        fit(small(likelihood=Nowhere()), X, epochs=1)
