"""Callbacks of `fit`: what they see, how one stops the run, and what they leave as it was."""

import base64
import io
import re

import matplotlib.image
import numpy as np
import pytest
import torch

import pyro_vae as pv
from pyro_vae.sklearn import VAEDensity
from pyro_vae.training import fit, fit_ensemble
from tests.training.small import X, same, small, weights, without_clock


def stop_at(epoch):
    """A callback that ends the run after that epoch."""
    return lambda row: row["epoch"] >= epoch


def test_each_epoch_is_seen_once_after_its_validation():
    seen = []
    run = fit(small(), X, epochs=3, callbacks=[seen.append])
    assert seen == run.history
    assert [row["epoch"] for row in seen] == [1, 2, 3]
    assert all("val_loss" in row for row in seen)
    assert not run.stopped


def test_the_first_that_says_true_does_not_hide_the_epoch_from_the_others():
    order = []
    run = fit(
        small(),
        X,
        epochs=9,
        callbacks=[
            lambda row: order.append("a"),
            stop_at(2),
            lambda row: order.append("b"),
        ],
    )
    assert order == ["a", "b"] * 2
    assert (len(run.history), run.stopped, run.interrupted) == (2, True, False)


@pytest.mark.parametrize("answer", [None, False, 1, "stop", np.False_, [True]])
def test_what_is_not_true_goes_on(answer):
    run = fit(small(), X, epochs=2, callbacks=[lambda row: answer])
    assert (len(run.history), run.stopped) == (2, False)


def test_the_truth_of_numpy_stops():
    run = fit(small(), X, epochs=2, callbacks=[lambda row: np.True_])
    assert (len(run.history), run.stopped) == (1, True)


def test_the_best_weights_are_kept_before_the_callbacks_are_called():
    """The callback sees the weights of each epoch; the model ends with those of the best."""
    vae = small()
    after = []
    run = fit(
        vae,
        X,
        validation=X[:20],
        epochs=20,
        lr=0.3,
        schedule="constant",
        callbacks=[lambda row: after.append(weights(vae)), stop_at(8)],
    )
    assert len(run.history) == 8
    losses = [row["val_loss"] for row in run.history]
    assert run.best_epoch == 1 + int(np.argmin(losses)) < 8
    assert same(weights(vae), after[run.best_epoch - 1])
    assert not same(after[run.best_epoch - 1], after[-1])


def test_a_stopped_run_says_so():
    run = fit(small(), X, epochs=9, callbacks=[stop_at(2)])
    assert "a callback stopped it after epoch 2" in run.summary().splitlines()
    assert "stopped" not in fit(small(), X, epochs=2).summary()


def test_no_longer_run_is_advised_where_a_callback_stopped_a_better_and_better_one():
    history = [
        {"epoch": epoch, "val_loss": -epoch, "val_elbo": epoch, "seconds": 1.0}
        for epoch in range(1, 21)
    ]
    run = pv.Run(small(), pv.training.FitOptions(), history, best_epoch=20)
    assert run.still_improving
    run.stopped = True
    assert not run.still_improving
    assert "epochs=" not in run.summary()


def test_patience_counts_as_before():
    """The run ends with whichever comes first."""
    options = {"epochs": 50, "lr": 0.3, "schedule": "constant", "patience": 2}
    alone = fit(small(), X, **options)
    assert len(alone.history) < 50
    seen = []
    both = fit(small(), X, callbacks=[seen.append], **options)
    assert without_clock(seen) == without_clock(alone.history)
    assert not both.stopped


def test_an_error_comes_through_with_the_best_weights_in_place():
    vae = small()
    before = torch.get_rng_state()
    kept = []

    def broken(row):
        kept.append(weights(vae))
        if row["epoch"] == 3:
            raise LookupError("pruned")

    with pytest.raises(LookupError, match=r"^pruned$"):
        fit(vae, X, epochs=9, validation=None, callbacks=[broken])
    assert same(weights(vae), kept[2])  # without validation each epoch is the best
    assert not vae.training
    assert torch.equal(torch.get_rng_state(), before)


def test_ctrl_c_in_a_callback_is_an_interrupt():
    def interrupt(row):
        raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted after 1 of 9 epochs"):
        run = fit(small(), X, epochs=9, callbacks=[interrupt])
    assert (run.interrupted, run.stopped) == (True, False)


def test_a_callback_changes_nothing_in_the_training():
    """It draws, uses the model, and writes into its row."""
    vae = small()

    def meddles(row):
        torch.randn(5)
        pv.sample(vae, 3)
        pv.evidence(vae, X[:2], num_particles=20, proposal="guide")
        vae.eval()
        row.clear()

    meddled = fit(vae, X, epochs=4, batch_size=16, ema_decay=0.9, callbacks=[meddles])
    alone = fit(small(), X, epochs=4, batch_size=16, ema_decay=0.9)
    assert without_clock(meddled.history) == without_clock(alone.history)
    assert same(weights(meddled.vae), weights(alone.vae))


def test_draws_of_a_callback_follow_the_seed_and_the_epoch():
    drawn = []
    for _ in range(2):
        fit(small(), X, epochs=2, callbacks=[lambda row: drawn.append(torch.rand(3))])
    first, second, *again = drawn
    assert torch.equal(torch.stack([first, second]), torch.stack(again))
    assert not torch.equal(first, second)


def test_a_stopped_run_is_in_its_checkpoint_and_goes_on(tmp_path):
    options = {"epochs": 5, "batch_size": 16, "checkpoint": tmp_path / "run"}
    stopped = fit(small(), X, callbacks=[stop_at(2)], **options)
    assert len(stopped.history) == 2
    seen = []
    resumed = fit(small(), X, callbacks=[seen.append], **options)
    assert [row["epoch"] for row in seen] == [3, 4, 5]
    whole = fit(small(), X, epochs=5, batch_size=16)
    assert without_clock(resumed.history) == without_clock(whole.history)
    assert not resumed.stopped


def test_the_sleep_phase_follows_and_is_not_shown():
    seen = []
    run = fit(
        small(), X, epochs=9, sleep_share=1.0, callbacks=[seen.append, stop_at(2)]
    )
    assert (len(seen), len(run.history), len(run.slept)) == (2, 2, 2)


def test_an_ensemble_shows_its_models_one_after_the_other():
    seen = []
    runs = fit_ensemble(
        small(),
        X,
        ensemble=2,
        epochs=5,
        callbacks=[lambda row: seen.append(row["epoch"]), stop_at(2)],
    )
    assert seen == [1, 2, 1, 2]
    assert [run.stopped for run in runs] == [True, True]


def test_estimators_pass_them_on():
    density = VAEDensity(
        latent_dim=2, epochs=9, fit_options={"callbacks": [stop_at(2)]}
    )
    assert density.fit(X).n_iter_ == 2


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        (
            print,
            r"^callbacks: expected a list of .*, got print; pass callbacks=\[print\]$",
        ),
        (3, r"^callbacks: expected a list of functions, got int; pass a list$"),
        ("log", r"^callbacks: expected a list of functions, got str; pass a list$"),
        (
            [print, "log"],
            r"^callbacks\[1\]: expected a function of one row .*, got 'log'; pass a function such",
        ),
        (
            [dict],
            r"^callbacks\[0\]: expected a function of one row .*, got <class 'dict'>",
        ),
    ],
)
def test_what_is_no_list_of_functions_is_refused_before_the_first_step(
    callbacks, message
):
    vae = small()
    before = weights(vae)
    with pytest.raises(ValueError, match=message):
        fit(vae, X, epochs=2, callbacks=callbacks)
    assert same(weights(vae), before)


# In a notebook


def picture(shown):
    """The pixels inside the HTML of a run, (height, width, 4)."""
    data = re.search(r'src="data:image/png;base64,([^"]+)"', shown).group(1)
    return matplotlib.image.imread(io.BytesIO(base64.b64decode(data)), format="png")


def drawn_columns(pixels, colour):
    """The columns of the left panel where a colour is, as a share of the width."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    near = np.abs(pixels[..., :3] - rgb).max(-1) < 0.02
    left = near[:, : near.shape[1] // 2]
    return left.any(0).mean()


@pytest.mark.parametrize("validation", [0.2, None])
def test_a_notebook_shows_the_summary_and_the_curves(validation):
    run = fit(small(), X, epochs=30, lr=1e-2, validation=validation)
    shown = run._repr_html_()
    assert f"<pre>{run.summary()}</pre>" in shown
    pixels = picture(shown)
    train, valid = (drawn_columns(pixels, colour) for colour in ("#0072b2", "#d55e00"))
    assert train > 0.3  # the curve crosses the panel, and a legend doesn't
    assert (valid > 0.3) == (validation is not None)


def test_a_run_without_an_epoch_is_shown_without_a_picture():
    run = pv.Run(small(), pv.training.FitOptions())
    assert "<img" not in run._repr_html_()
    assert "0 epochs" in run._repr_html_()


def test_signs_of_html_in_a_summary_are_escaped(monkeypatch):
    run = fit(small(), X, epochs=1)
    monkeypatch.setattr(type(run), "summary", lambda self: "a < b & c")
    assert "<pre>a &lt; b &amp; c</pre>" in run._repr_html_()
