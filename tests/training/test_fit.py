"""`fit`: what it reports is what happened, what it keeps is the best, and what it can't do it says
before step 1.
"""

import math

import numpy as np
import pyro
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from pyro_vae.objectives import ELBO, IWAE, Terms
from pyro_vae.rng import own_seed
from pyro_vae.training import fit
from tests.training.small import (
    BITS,
    Watch,
    X,
    same,
    small,
    watched,
    weights,
    without_clock,
)

TERMS = {"epoch", "loss", "elbo", "rate", "distortion", "grad_norm", "lr", "seconds"}
VALIDATION = {"val_loss", "val_elbo", "val_rate", "val_distortion"}
OUTLIER = np.full((1, 4), 1e4, dtype=np.float32)


class Listed(Dataset):
    """A map-style dataset."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


def loader(rows, size=16, **options):
    return DataLoader(TensorDataset(torch.as_tensor(rows)), batch_size=size, **options)


def by_value(rows):
    return rows[np.lexsort(rows.T)]


# The history


@pytest.mark.parametrize(
    ("validation", "keys"), [(None, TERMS), (0.2, TERMS | VALIDATION)]
)
def test_the_history_has_one_row_an_epoch_of_finite_numbers(validation, keys):
    run = fit(small(), X, epochs=3, batch_size=16, validation=validation)
    assert [row["epoch"] for row in run.history] == [1, 2, 3]
    assert all(row.keys() == keys for row in run.history)
    assert all(math.isfinite(value) for row in run.history for value in row.values())


def test_the_elbo_goes_up():
    one_scale = {
        "kind": "normal",
        "scale": "learned",
    }  # a scale for each column starts at its best for these columns
    history = fit(
        small(likelihood=one_scale), X, epochs=30, batch_size=16, lr=1e-2
    ).history
    assert history[-1]["elbo"] > history[0]["elbo"] + 0.5
    assert history[-1]["loss"] < history[0]["loss"] - 0.5


def test_the_means_of_an_epoch_are_over_rows():
    """50 rows in batches of 16: the last has 2 rows, and one of them lies far out."""
    vae = small()
    watch = Watch(vae)
    x = np.concatenate([X[:49], OUTLIER / 100])
    with pytest.warns(UserWarning, match="100 in row 49, column 0"):
        history = fit(
            vae, x, objective=watch, epochs=3, batch_size=16, validation=None
        ).history
    assert [rows for rows, _, _ in watch.train] == 3 * [16, 16, 16, 2]
    for row, calls in zip(history, np.reshape(watch.train, (3, 4, 3)), strict=True):
        rate, distortion = np.average(calls[:, 1:], axis=0, weights=calls[:, 0])
        assert row["rate"] == pytest.approx(rate, rel=1e-6)  # sums of float32 numbers
        assert row["distortion"] == pytest.approx(distortion, rel=1e-6)
        assert row["loss"] == pytest.approx(rate + distortion, rel=1e-6)
        assert (
            abs(calls[:, 2].mean() - distortion) > 1e-3
        )  # the mean over batches is another number


def test_the_reported_elbo_is_plain_while_annealing():
    """Two of four epochs, 4 steps each: β = 0, 1/8, ..., 7/8, and 1 from there on."""
    vae = small()
    watch = Watch(vae)
    history = fit(
        vae,
        X,
        objective=watch,
        epochs=4,
        batch_size=16,
        kl_warmup_epochs=2,
        validation=None,
    ).history
    betas = np.minimum(np.arange(16) / 8, 1).reshape(4, 4)
    for row, calls, beta in zip(
        history, np.reshape(watch.train, (4, 4, 3)), betas, strict=True
    ):
        loss = np.average(calls[:, 2] + beta * calls[:, 1], weights=calls[:, 0])
        assert row["loss"] == pytest.approx(loss, rel=1e-6)
        assert row["elbo"] == pytest.approx(
            -(row["rate"] + row["distortion"]), rel=1e-12
        )
    assert history[0]["elbo"] < -history[0]["loss"] - 1e-3


def test_the_validation_elbo_is_plain_while_annealing():
    row = fit(small(), X, epochs=1, kl_warmup_epochs=10, validation=20).history[0]
    assert row["val_rate"] > 0
    assert row["val_elbo"] == pytest.approx(
        -(row["val_rate"] + row["val_distortion"]), rel=1e-12
    )


def test_more_particles_are_drawn_in_training_and_validation():
    vae, seen = small(), []

    def objective(model, guide, x, beta=1.0):
        terms = ELBO(num_particles=7)(model, guide, x, beta)
        seen.append(terms)
        return terms

    one = fit(vae, X, objective=objective, epochs=2, seed=3)
    other = fit(small(), X, num_particles=7, epochs=2, seed=3)
    assert without_clock(one.history) == without_clock(other.history)
    assert all(terms.rate.ndim == 1 for terms in seen)


# Optimizers and schedules

SCHEDULES = {
    "constant": ("constant", lambda done: 1.0),
    "cosine": ("cosine", lambda done: 0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2),
    "own": (lambda done: 1 - done**2, lambda done: 1 - done**2),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_schedule_moves_the_learning_rate_of_every_group(schedule):
    """3 epochs of 4 steps: step k of 12 is made at k / 12 of the run."""
    steps = []
    given, factor = SCHEDULES[schedule]
    make = watched(torch.optim.SGD, steps)

    def two_groups(parameters):
        first, *rest = parameters
        return make([{"params": [first], "lr": 1e-3}, {"params": rest, "lr": 2e-4}])

    history = fit(
        small(),
        X,
        schedule=given,
        optimizer=two_groups,
        epochs=3,
        batch_size=16,
        validation=None,
    ).history
    expected = np.outer([factor(k / 12) for k in range(12)], [1e-3, 2e-4])
    np.testing.assert_allclose([step["lr"] for step in steps], expected, rtol=1e-12)
    np.testing.assert_allclose(
        [row["lr"] for row in history], expected[3::4, 0], rtol=1e-12
    )


def test_lr_is_that_of_the_first_step():
    steps = []
    make = watched(torch.optim.SGD, steps, lr=0.05)
    fit(small(), X, optimizer=make, epochs=1)
    assert steps[0]["lr"] == [0.05]


NAMES = ["Adadelta", "Adafactor", "Adagrad", "Adam", "Adamax", "AdamW"]
NAMES += ["ASGD", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD"]


@pytest.mark.slow
@pytest.mark.parametrize("spelling", [str, str.lower])
@pytest.mark.parametrize("name", NAMES)
def test_an_optimizer_by_name_is_the_one_of_torch(name, spelling):
    """Up to the rounding of torch's fused kernels."""
    options = dict(epochs=2, batch_size=16, schedule="constant", validation=None)
    named, made = small(), small()
    before = weights(named)
    fit(named, X, optimizer=spelling(name), lr=1e-2, **options)
    fit(
        made,
        X,
        optimizer=lambda parameters: getattr(torch.optim, name)(parameters, lr=1e-2),
        **options,
    )
    torch.testing.assert_close(weights(named), weights(made), rtol=1e-4, atol=1e-5)
    moved = [
        name
        for name, _ in named.named_parameters()
        if not torch.equal(before[name], weights(named)[name])
    ]
    assert len(moved) == len(before.keys() & dict(named.named_parameters()).keys())


@pytest.mark.parametrize(
    "options",
    [{"momentum": 0.9}, {"momentum": 0.9, "foreach": True}, {"differentiable": False}],
)
def test_options_reach_the_optimizer(options):
    named, made = small(), small()
    fit(
        named,
        X,
        optimizer="sgd",
        optimizer_options=options,
        lr=1e-3,
        schedule="constant",
        epochs=2,
    )
    fit(
        made,
        X,
        optimizer=lambda p: torch.optim.SGD(p, lr=1e-3, **options),
        schedule="constant",
        epochs=2,
    )
    torch.testing.assert_close(weights(named), weights(made))


def test_gradients_are_clipped_and_reported_as_they_were():
    clipped, free = [], []
    options = dict(epochs=1, batch_size=50, validation=None)
    reported = fit(
        small(),
        X,
        clip_norm=0.01,
        optimizer=watched(torch.optim.SGD, clipped),
        **options,
    ).history
    unclipped = fit(
        small(), X, optimizer=watched(torch.optim.SGD, free), **options
    ).history
    assert clipped[0]["norm"] == pytest.approx(
        0.01, rel=1e-4
    )  # torch divides by the norm + 1e-6
    assert free[0]["norm"] > 0.1
    assert (
        reported[0]["grad_norm"]
        == unclipped[0]["grad_norm"]
        == pytest.approx(free[0]["norm"], rel=1e-6)
    )


def test_no_step_exceeds_the_clip_norm():
    steps = []
    fit(
        small(),
        X,
        clip_norm=0.05,
        optimizer=watched(torch.optim.Adam, steps),
        epochs=5,
        batch_size=8,
    )
    assert max(step["norm"] for step in steps) <= 0.05 * (1 + 1e-6)


def test_small_gradients_are_left_alone():
    bounded, free = small(), small()
    fit(bounded, X, clip_norm=1e6, epochs=2)
    fit(free, X, epochs=2)
    assert same(weights(bounded), weights(free))


# Validation

HELD_OUT = {
    "share": (0.2, 10),
    "share, rounded up": (0.01, 1),
    "number": (7, 7),
    "number as a float": (7.0, 7),
    "array": (X[:9], 9),
    "bytes": (np.ones((9, 4), np.uint8), 9),
    "tensor": (torch.as_tensor(X[:9]), 9),
    "list": (X[:9].tolist(), 9),
    "Dataset": (Listed(X[:9]), 9),
    "DataLoader": (loader(X[:9], 4), 9),
}


@pytest.mark.parametrize("kind", HELD_OUT)
def test_validation_rows_are_those_asked_for(kind):
    validation, rows = HELD_OUT[kind]
    vae = small()
    watch = Watch(vae)
    run = fit(vae, X, objective=watch, validation=validation, epochs=2, batch_size=16)
    assert sum(rows for rows, _, _ in watch.valid) == 2 * rows
    a_part = isinstance(validation, float | int)
    assert sum(rows for rows, _, _ in watch.train) == 2 * (50 - rows if a_part else 50)
    assert run.options.validation == (validation if a_part else None)
    calls = np.array(watch.valid)
    rate, distortion = np.average(
        calls[: len(calls) // 2, 1:], axis=0, weights=calls[: len(calls) // 2, 0]
    )
    assert run.history[0]["val_elbo"] == pytest.approx(-(rate + distortion), rel=1e-6)


@pytest.mark.parametrize("validation", [None, 0, 0.0])
def test_no_validation_is_possible(validation):
    vae = small()
    watch = Watch(vae)
    run = fit(vae, X, objective=watch, validation=validation, epochs=2)
    assert not watch.valid
    assert sum(rows for rows, _, _ in watch.train) == 2 * 50
    assert run.best_epoch == 2


@pytest.mark.parametrize("x", [X, Listed(X)], ids=["array", "Dataset"])
def test_a_share_is_a_random_part_that_is_never_trained_on(x):
    parts = []
    for seed in (0, 1):
        vae = small()
        watch = Watch(vae)
        fit(vae, x, objective=watch, validation=0.3, epochs=1, batch_size=16, seed=seed)
        train, valid = (
            torch.cat(rows).numpy() for rows in (watch.train_rows, watch.valid_rows)
        )
        assert len(valid) == 15
        np.testing.assert_array_equal(
            by_value(np.concatenate([train, valid])), by_value(X)
        )
        parts.append(valid)
    assert not np.array_equal(by_value(parts[0]), by_value(parts[1]))


def test_the_order_of_the_rows_changes_every_epoch():
    vae = small()
    watch = Watch(vae)
    fit(vae, X, objective=watch, validation=None, epochs=2, batch_size=16)
    first, second = torch.cat(watch.train_rows).split(50)
    assert not torch.equal(first, second)
    np.testing.assert_array_equal(by_value(first.numpy()), by_value(second.numpy()))


@pytest.mark.parametrize("average", [None, 0.9])
def test_validation_rows_change_no_weight_and_no_statistic(average):
    """One epoch, so that they choose nothing either."""
    fitted = []
    for valid in (X[:5], np.concatenate([X[:5], OUTLIER])):
        vae = small()
        run = fit(vae, X, validation=valid, epochs=1, batch_size=16, ema_decay=average)
        fitted.append((weights(vae), run.history[0]))
    assert same(fitted[0][0], fitted[1][0])
    assert fitted[1][1]["val_elbo"] < fitted[0][1]["val_elbo"] - 100


def scripted(losses, snapshots):
    """A reaction that copies the weights at each validation, and reports these losses in turn."""

    def react(watch, terms):
        if watch.vae.training:
            return terms
        snapshots.append(weights(watch.vae))
        distortion = torch.full_like(terms.distortion, losses[len(snapshots) - 1])
        return Terms(0 * terms.rate, distortion, terms.kl, distortion)

    return react


def scripted_run(losses, snapshots, vae=None, **options):
    vae = vae or small()
    watch = Watch(vae, scripted(losses, snapshots))
    return fit(
        vae, X, objective=watch, epochs=len(losses), batch_size=16, lr=1e-2, **options
    )


@pytest.mark.parametrize(
    ("losses", "patience", "epochs", "best"),
    [
        ([5, 3, 4, 6, 1, 0], 2, 4, 2),
        ([5, 3, 4, 6, 1, 0], 3, 6, 6),
        ([5, 3, 4, 6, 1, 2], None, 6, 5),
        ([5, 5, 5, 5], 1, 2, 1),
        ([1, 2, 3], 3, 3, 1),
    ],
)
def test_patience_ends_the_run_and_the_best_weights_are_kept(
    losses, patience, epochs, best
):
    snapshots = []
    run = scripted_run(losses, snapshots, patience=patience)
    assert (len(run.history), run.best_epoch, run.interrupted) == (epochs, best, False)
    assert [row["val_elbo"] for row in run.history] == [
        -loss for loss in losses[:epochs]
    ]
    assert same(weights(run.vae), snapshots[best - 1])
    assert not same(snapshots[best - 1], snapshots[best - 2])
    assert not run.vae.training


@pytest.mark.parametrize("average", [None, 0.8])
def test_the_kept_weights_have_the_best_elbo_of_the_history(average):
    """Recomputed on the same rows and noise; the learning rate is so large that it gets worse."""
    vae = small()
    run = fit(
        vae,
        X,
        validation=X[:20],
        epochs=12,
        lr=0.3,
        batch_size=8,
        schedule="constant",
        seed=4,
        ema_decay=average,
    )
    scores = [row["val_elbo"] for row in run.history]
    assert run.best_epoch == 1 + int(np.argmax(scores)) < 12
    with torch.no_grad(), own_seed(4 + 1):
        elbo = ELBO()(vae.model, vae.guide, torch.as_tensor(X[:20])).elbo.mean()
    assert float(elbo) == pytest.approx(max(scores), rel=1e-6)


@pytest.mark.parametrize(
    "options", [{"beta": 0.1}, {"beta": 4.0, "kl_warmup_epochs": 6}]
)
def test_the_best_epoch_is_that_of_the_loss_with_the_final_weight(options):
    """While β grows, too; the reported ELBO stays the plain one."""
    run = fit(
        small(),
        X,
        validation=20,
        epochs=12,
        lr=0.1,
        batch_size=8,
        schedule="constant",
        **options,
    )
    losses = [
        row["val_distortion"] + options["beta"] * row["val_rate"] for row in run.history
    ]
    np.testing.assert_allclose(
        [row["val_loss"] for row in run.history], losses, rtol=1e-5
    )
    assert run.best_epoch == 1 + int(np.argmin(losses))
    assert all(
        row["val_elbo"] == -(row["val_rate"] + row["val_distortion"])
        for row in run.history
    )


def test_the_best_epoch_of_another_objective_is_that_of_its_own_bound():
    objective, vae = IWAE(num_particles=20), small()
    run = fit(
        vae,
        X,
        validation=X[:20],
        epochs=12,
        lr=0.1,
        batch_size=8,
        schedule="constant",
        objective=objective,
    )
    losses = [row["val_loss"] for row in run.history]
    assert run.best_epoch == 1 + int(np.argmin(losses))
    assert all(row["val_loss"] < -row["val_elbo"] for row in run.history)
    with torch.no_grad(), own_seed(1):
        loss = objective(vae.model, vae.guide, torch.as_tensor(X[:20])).loss.mean()
    assert float(loss) == pytest.approx(min(losses), rel=1e-6)


def test_validation_uses_the_same_noise_in_every_epoch():
    history = fit(small(), X, epochs=3, lr=1e-30, validation=10).history
    assert len({row["val_elbo"] for row in history}) == 1
    assert len({row["elbo"] for row in history}) == 3


def test_without_validation_the_last_weights_are_kept():
    steps, vae = [], small()
    run = fit(
        vae,
        X,
        validation=None,
        optimizer=watched(torch.optim.SGD, steps),
        epochs=3,
        batch_size=16,
    )
    assert run.best_epoch == 3
    assert all(
        torch.equal(p, q)
        for p, q in zip(vae.parameters(), steps[-1]["after"], strict=True)
    )


@pytest.mark.parametrize("validation", [None, 10])
def test_averaged_weights_are_the_moving_average_of_the_steps(validation):
    """average ← 0.7 average + 0.3 parameter after each step, from the initial weights."""
    steps, vae = [], small()
    expected = [p.detach().clone() for p in vae.parameters()]
    make = watched(torch.optim.SGD, steps, lr=1e-2)
    run = fit(
        vae,
        X,
        validation=validation,
        ema_decay=0.7,
        optimizer=make,
        epochs=2,
        batch_size=16,
    )
    for step in steps[
        : run.best_epoch * 4 if validation is None else run.best_epoch * 3
    ]:
        expected = [
            0.7 * mean + 0.3 * p
            for mean, p in zip(expected, step["after"], strict=True)
        ]
    torch.testing.assert_close(
        [p.detach() for p in vae.parameters()], expected, rtol=1e-5, atol=1e-7
    )
    assert not torch.allclose(expected[0], steps[-1]["after"][0], atol=1e-5)


def test_averaging_does_not_change_the_steps():
    with_average, without = [], []
    for steps, average in ((with_average, 0.9), (without, None)):
        fit(
            small(),
            X,
            optimizer=watched(torch.optim.Adam, steps),
            ema_decay=average,
            epochs=2,
            batch_size=16,
        )
    assert all(
        torch.equal(p, q)
        for one, other in zip(with_average, without, strict=True)
        for p, q in zip(one["after"], other["after"], strict=True)
    )


# Ends before time


def raises_in(epoch, error, snapshots, *, validating=False):
    """A reaction that copies the weights at each validation, and raises in one epoch."""

    def react(watch, terms):
        if not watch.vae.training:
            snapshots.append(weights(watch.vae))
        now = len(snapshots) + watch.vae.training
        if (
            now == epoch
            and validating != watch.vae.training
            and (validating or len(watch.train) % 3 == 2)
        ):
            raise error
        return terms

    return react


@pytest.mark.parametrize(
    "validating", [False, True], ids=["in a step", "in validation"]
)
def test_an_interrupt_keeps_the_best_weights_and_says_so(validating):
    vae, snapshots = small(), []
    watch = Watch(
        vae, raises_in(3, KeyboardInterrupt, snapshots, validating=validating)
    )
    flags = pyro.settings.get()
    with pytest.warns(
        UserWarning,
        match="interrupted after 2 of 9 epochs; the weights are those of epoch 2",
    ) as caught:
        run = fit(
            vae, X, objective=watch, validation=10, epochs=9, batch_size=16, lr=1e-2
        )
    assert caught[0].filename == __file__
    assert run.interrupted
    assert (len(run.history), run.best_epoch) == (2, 2)
    assert same(weights(vae), snapshots[1])
    assert not vae.training
    assert pyro.settings.get() == flags


def test_an_interrupt_after_the_best_epoch_goes_back_to_it():
    vae, snapshots = small(), []
    script = scripted([3, 1, 2, 5], snapshots)

    def react(watch, terms):
        if watch.vae.training and len(snapshots) == 3:
            raise KeyboardInterrupt
        return script(watch, terms)

    with pytest.warns(
        UserWarning, match="after 3 of 4 epochs; the weights are those of epoch 2"
    ):
        run = fit(vae, X, objective=Watch(vae, react), epochs=4, lr=1e-2)
    assert run.best_epoch == 2
    assert same(weights(vae), snapshots[1])


def test_an_interrupt_in_the_first_epoch_gives_the_first_weights_back():
    vae = small()
    before = dict(vae.named_parameters())
    before = {name: value.detach().clone() for name, value in before.items()}
    watch = Watch(vae, raises_in(1, KeyboardInterrupt, []))
    with pytest.warns(
        UserWarning,
        match="after 0 of 9 epochs; the weights are those from before the run",
    ):
        run = fit(vae, X, objective=watch, validation=10, epochs=9, batch_size=16)
    assert (run.history, run.best_epoch, run.interrupted) == ([], 0, True)
    assert same(
        before, {name: value.detach() for name, value in vae.named_parameters()}
    )


def test_another_error_leaves_the_best_weights_too():
    vae, snapshots = small(), []
    watch = Watch(vae, raises_in(3, RuntimeError("out of memory"), snapshots))
    with pytest.raises(RuntimeError, match="out of memory"):
        fit(vae, X, objective=watch, validation=10, epochs=9, batch_size=16)
    assert same(weights(vae), snapshots[1])
    assert not vae.training


@pytest.mark.parametrize("epoch", [1, 3])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_run_with_the_best_weights(epoch, value):
    vae, snapshots = small(), []
    before = {name: value.detach().clone() for name, value in vae.named_parameters()}

    def react(watch, terms):
        if not watch.vae.training:
            snapshots.append(weights(watch.vae))
        bad = watch.vae.training and len(snapshots) == epoch - 1
        if not bad:
            return terms
        return terms._replace(
            distortion=terms.distortion * value, loss=terms.loss * value
        )

    message = (
        rf"not finite in epoch {epoch} .*best weights before are kept; lower lr \(now 0.005\) or "
        "set clip_norm"
    )
    with pytest.raises(ValueError, match=message):
        fit(
            vae,
            X,
            objective=Watch(vae, react),
            validation=10,
            epochs=9,
            batch_size=16,
            lr=5e-3,
        )
    if epoch == 1:
        assert same(
            before, {name: value.detach() for name, value in vae.named_parameters()}
        )
    else:
        assert same(weights(vae), snapshots[epoch - 2])
    assert not vae.training


def test_a_learning_rate_that_explodes_is_named():
    vae = small()
    with pytest.raises(ValueError, match=r"not finite in epoch .*lower lr"):
        fit(vae, X, optimizer="sgd", lr=1e6, epochs=5, batch_size=8)
    assert all(bool(value.isfinite().all()) for value in weights(vae).values())


# Training on


def test_a_second_fit_goes_on_where_the_first_ended():
    vae = small()
    assert not vae.initialized
    fit(vae, X, epochs=2, validation=None)
    assert vae.initialized
    before = weights(vae)
    run = fit(vae, 100 * X + 7, epochs=1, lr=1e-30, validation=None)
    assert same(before, weights(vae))
    assert run.history[0]["epoch"] == 1


def test_the_first_fit_starts_from_the_training_rows_alone():
    vae = small()
    fit(vae, X, validation=np.concatenate([X, OUTLIER]), epochs=1)
    for part in (vae.posterior.standardize, vae.likelihood.family):
        torch.testing.assert_close(part.mean, torch.as_tensor(X.mean(0)))
        torch.testing.assert_close(part.std, torch.as_tensor(X.std(0)))


@pytest.mark.parametrize(("likelihood", "x"), [("normal", X), ("bernoulli", BITS)])
def test_training_starts_at_the_means_of_the_rows(likelihood, x):
    """A linear decoder without bias is 0 at z = 0; half a count is added to frequencies of bits."""
    vae = small(likelihood=likelihood, hidden_dims=())
    fit(vae, x, epochs=1, lr=1e-30, validation=None)
    expected = x.mean(0) if likelihood == "normal" else (50 * x.mean(0) + 0.5) / 51
    torch.testing.assert_close(
        vae.likelihood(torch.zeros(1, 2)).mean[0].detach(), torch.as_tensor(expected)
    )


def test_a_double_model_stays_double():
    vae = small().double()
    seen = []
    watch = Watch(
        vae,
        lambda watch, terms: (
            seen.extend([terms.rate.dtype, terms.distortion.dtype]) or terms
        ),
    )
    run = fit(vae, X, objective=watch, epochs=2, ema_decay=0.9, clip_norm=1.0)
    assert set(seen) == {torch.float64}
    assert {value.dtype for value in weights(vae).values()} == {
        torch.float64,
        torch.bool,
    }
    assert all(
        isinstance(value, float | int) for row in run.history for value in row.values()
    )


def test_double_and_single_agree_to_single_precision():
    one, other = small(), small().double()
    steps = dict(
        epochs=1, validation=None, objective=lambda m, g, x, beta: ELBO()(m, g, x, beta)
    )
    with_single, with_double = (
        fit(one, X, **steps).history[0],
        fit(other, X, **steps).history[0],
    )
    assert with_single["rate"] == pytest.approx(with_double["rate"], rel=1e-4)


# Rows of other origins


def origins(folder):
    np.save(folder / "x.npy", X)
    frozen = X.copy()
    frozen.flags.writeable = False
    return {
        "tensor": torch.as_tensor(X),
        "memmap": np.load(folder / "x.npy", mmap_mode="r"),
        "list": X.tolist(),
        "Fortran": np.asfortranarray(X),
        "read-only": frozen,
        "float64": X.astype(float),
        "Dataset": Listed(X),
        "TensorDataset": TensorDataset(
            torch.as_tensor(X), torch.zeros(50, dtype=torch.int64)
        ),
        "with a gradient": torch.as_tensor(X).clone().requires_grad_(),
    }


def test_the_origin_of_the_rows_changes_nothing(tmp_path):
    vae = small()
    history = without_clock(
        fit(vae, X, epochs=2, batch_size=16, validation=0.2).history
    )
    for name, x in origins(tmp_path).items():
        other = small()
        assert (
            without_clock(
                fit(other, x, epochs=2, batch_size=16, validation=0.2).history
            )
            == history
        ), name
        assert same(weights(vae), weights(other)), name


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_loader_keeps_its_size_and_order(shuffle):
    vae = small()
    watch = Watch(vae)
    fit(
        vae,
        loader(X, 20, shuffle=shuffle),
        objective=watch,
        validation=None,
        epochs=2,
        batch_size=3,
    )
    assert [rows for rows, _, _ in watch.train] == 2 * [20, 20, 10]
    first, second = torch.cat(watch.train_rows).split(50)
    assert torch.equal(first, torch.as_tensor(X)) != shuffle
    assert torch.equal(first, second) != shuffle


def test_images_keep_their_shape():
    x = np.random.default_rng(0).integers(0, 2, size=(30, 4, 3), dtype=np.uint8)
    vae = small(data_shape=(4, 3), likelihood="bernoulli")
    watch = Watch(vae)
    fit(vae, x, objective=watch, epochs=1, batch_size=10)
    assert watch.train_rows[0].shape == (10, 4, 3)
    assert watch.train_rows[0].dtype == torch.float32


# Progress


@pytest.mark.parametrize(
    ("progress", "shown"), [(None, False), (False, False), (True, True)]
)
def test_progress_goes_to_stderr_when_asked_for(progress, shown, capfd):
    fit(small(), X, epochs=2, batch_size=16, progress=progress)
    out, err = capfd.readouterr()
    assert out == ""
    assert bool(err) == shown
    if shown:
        for part in ("fit: 100%", "6/6", "elbo -", "validation -", "rate "):
            assert part in err


# Refused before the first step


def spoiled(row, column, value, x=X):
    x = x.copy()
    x[row, column] = value
    return x


BAD_ROWS = {
    "nan": (
        dict(x=spoiled(37, 2, np.nan)),
        r"^x: expected finite numbers, got nan in row 37, column 2",
    ),
    "inf": (
        dict(x=spoiled(49, 0, -np.inf)),
        r"^x: expected finite numbers, got -inf in row 49, column 0",
    ),
    "nan without validation": (
        dict(x=spoiled(3, 1, np.nan), validation=None),
        r"^x: .* got nan in row 3, column 1",
    ),
    "nan in a Dataset": (
        dict(x=Listed(spoiled(37, 2, np.nan))),
        r"^x: .* got nan in row 37, column 2",
    ),
    "nan in a loader": (
        dict(x=loader(spoiled(37, 2, np.nan)), validation=None),
        r"^x: .* got nan in row 37, column 2",
    ),
    "nan in validation": (
        dict(validation=spoiled(8, 3, np.nan)),
        r"^validation: .* got nan in row 8, column 3",
    ),
    "another shape": (
        dict(x=X[:, :3]),
        r"^x: expected rows of shape \(4,\), got \(3,\)",
    ),
    "validation of another shape": (
        dict(validation=X[:, :3]),
        r"^validation: expected rows of shape \(4,\), got \(3,\)",
    ),
    "no rows": (dict(x=X[:0]), r"^x: expected at least one row, got none"),
    "no rows in a loader": (
        dict(x=loader(X[:0]), validation=None),
        r"^x: expected at least one row",
    ),
    "no validation rows": (
        dict(validation=X[:0]),
        r"^validation: expected at least one row, got none",
    ),
    "objects": (
        dict(x=X.astype(object)),
        r"^x: expected real numbers, got dtype object",
    ),
    "strings": (dict(x=X.astype(str)), r"^x: expected real numbers, got dtype <U"),
    "all rows for validation": (
        dict(validation=50),
        r"^validation: expected fewer rows than the 50 of x, got 50",
    ),
    "more rows than there are": (
        dict(validation=51),
        r"^validation: expected fewer rows than the 50 of x, got 51",
    ),
    "one row in all": (
        dict(x=X[:1]),
        r"^validation: expected fewer rows than the 1 of x, got 1",
    ),
    "a share of a loader": (
        dict(x=loader(X), validation=0.1),
        r"^validation: expected rows of its own beside a DataLoader",
    ),
    "a number of a loader": (
        dict(x=loader(X), validation=5),
        r"^validation: expected rows of its own beside a DataLoader",
    ),
}


def test_the_default_validation_of_a_loader_is_refused_too():
    with pytest.raises(
        ValueError,
        match=r"validation: expected rows of its own beside a DataLoader, got 0\.1",
    ):
        fit(small(), loader(X), epochs=1)


def refuses(vae, message, x=X, kind=ValueError, **options):
    """`fit` raises before anything changes."""
    before, flags = weights(vae), pyro.settings.get()
    with pytest.raises(kind, match=message) as found:
        fit(vae, x, **{"epochs": 1, **options})
    assert same(before, weights(vae))
    assert pyro.settings.get() == flags
    return found


@pytest.mark.parametrize("case", BAD_ROWS)
def test_bad_rows_are_refused_before_anything_changes(case):
    options, message = BAD_ROWS[case]
    refuses(small(), message, **options)


@pytest.mark.parametrize("where", ["x", "validation"])
def test_rows_outside_the_support_are_refused_with_the_remedies(where):
    rows = {"x": BITS, "validation": BITS[:10], where: spoiled(7, 1, 0.5, BITS)}
    message = (
        rf"^{where}: expected values in the support \{{0, 1\}}, got 0.5 in row 7, column 1; "
        "binarize"
    )
    refuses(small(likelihood="bernoulli"), message, **rows)


BAD_OPTIONS = {
    "epochs": [0, -1, 1.5, "many"],
    "batch_size": [0, -5],
    "lr": [0.0, -1e-3, math.nan, "fast"],
    "clip_norm": [0.0, -1.0],
    "kl_warmup_epochs": [-1, 0.5],
    "ema_decay": [0.0, 1.0, 1.5],
    "patience": [0, -1],
    "validation": [-0.1, -5, math.nan, math.inf],
    "kl": ["exact"],
    "num_particles": [0],
    "seed": [-1, "a"],
    "schedule": ["linear", 3],
    "optimizer": [3, None],
    "optimizer_options": [3],
    "device": [3],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in BAD_OPTIONS.items() for value in values],
)
def test_bad_options_are_refused_by_name(name, value):
    found = refuses(small(), rf"^{name}\b", **{name: value})
    assert "pydantic" not in str(found.value)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("epoch", "epochs"),
        ("batchsize", "batch_size"),
        ("kl_warmup", "kl_warmup_epochs"),
    ],
)
def test_unknown_options_are_refused_with_the_nearest(name, nearest):
    message = (
        f"^fit: unknown argument '{name}'; allowed: 'vae', .*; did you mean '{nearest}'"
    )
    refuses(small(), message, **{name: 1})


BAD_NAMES = {
    "a misspelt optimizer": (
        dict(optimizer="addam"),
        r"^optimizer: unknown 'addam'; allowed: .*'sgd'; did you mean 'adam'",
    ),
    "no optimizer": (dict(optimizer="optimizer"), r"^optimizer: unknown 'optimizer'"),
    "LBFGS": (
        dict(optimizer="lbfgs"),
        r"^optimizer: lbfgs evaluates the loss several times a step",
    ),
    "LBFGS by function": (
        dict(optimizer=torch.optim.LBFGS),
        r"^optimizer: LBFGS evaluates the loss several times",
    ),
    "SparseAdam": (
        dict(optimizer="SparseAdam"),
        r"^optimizer: SparseAdam takes sparse gradients only",
    ),
    "Muon": (dict(optimizer="muon"), r"^optimizer: muon moves matrices only"),
    "an unknown option": (
        dict(optimizer_options={"momentum": 0.9}),
        r"^optimizer_options: adam does not take them",
    ),
    "a bad option": (
        dict(optimizer_options={"betas": (2, 0)}),
        r"^optimizer_options: adam does not take them",
    ),
    "two kernels": (
        dict(optimizer_options={"foreach": True, "fused": True}),
        r"^optimizer_options: adam does not",
    ),
    "no such device": (
        dict(device="tpu"),
        r"^device: expected cpu, cuda, cuda:N or auto, got 'tpu'",
    ),
    "a device without memory": (
        dict(device="meta"),
        r"^device: expected cpu, cuda, cuda:N or auto, got 'meta'",
    ),
    "no such GPU": (
        dict(device="cuda:99"),
        r"^device: got 'cuda:99', and this machine has \d+ GPUs",
    ),
}


@pytest.mark.parametrize("case", BAD_NAMES)
def test_bad_names_are_refused_with_what_is_allowed(case):
    options, message = BAD_NAMES[case]
    refuses(small(), message, **options)


def test_a_closed_form_that_does_not_exist_is_refused_before_the_first_step():
    prior = pyro.distributions.StudentT(5.0, torch.zeros(2)).to_event(1)
    vae = small(prior=prior)
    before = dict(vae.named_parameters())
    before = {name: value.detach().clone() for name, value in before.items()}
    with pytest.raises(ValueError, match="no closed-form KL"):
        fit(vae, X, kl="analytic", epochs=1)
    assert same(
        before, {name: value.detach() for name, value in vae.named_parameters()}
    )
