"""Single sentences and tables of the page, with answers that are known."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

import pyro_vae as pv
from pyro_vae.analysis.marginal_likelihood.measure import Measure
from pyro_vae.analysis.results.verdicts import Finding
from pyro_vae.page import density, latent_part, odd_rows, overview
from pyro_vae.page.answers import Answers
from pyro_vae.page.baselines import Baseline
from pyro_vae.page.odd_rows import Odd
from pyro_vae.page.training_part import training
from tests.analysis.figures.drawing import nothing_cut_off
from tests.page.reading import Page, subject

PAIRS = np.tile([-1.0, 1.0], 50)
"""100 rows with mean 0 and, of the mean, the standard error 0.1005."""


@pytest.fixture(scope="module")
def vae() -> pv.VAE:
    return pv.VAE(data_shape=(3,), latent_dim=1, hidden_dims=(4,))


@pytest.mark.parametrize(
    ("gain", "words"),
    [
        (
            1.0,
            "are 1.00 ± 0.14 nats more probable than these: the model has overfitted",
        ),
        (-1.0, "are 1.00 ± 0.14 nats less probable than these"),
        (0.25, "differ from these by 0.25 ± 0.14 nats, which may be chance"),
    ],
)
def test_fitted_rows_that_are_more_probable_say_overfitted(
    gain: float, words: str
) -> None:
    assert density._overfitting(PAIRS, PAIRS + gain) == f"Fitted rows {words}."


def test_one_row_alone_says_nothing_of_overfitting() -> None:
    assert density._overfitting(PAIRS[:1], PAIRS).startswith("One row alone")


def test_the_gain_over_a_baseline_is_that_of_the_same_rows() -> None:
    found: Any = SimpleNamespace(log_marginal=np.array([-3.0, -9.0]))
    simple = [
        Baseline("independent columns", np.array([-4.0, -12.0])),
        Baseline("one normal", reason="no column has a density"),
    ]
    page = Page(density._compared(found, simple))
    assert page.whole.endswith(
        "this model-6.00 ± 3.00"
        "independent columns-8.00 ± 4.002.00 ± 1.00"
        "one normalnot fitted: no column has a density"
    )


def test_the_least_likely_rows_are_the_lowest_first() -> None:
    log_p = np.array([3.0, np.nan, -5.0, 1.0, -7.0, 2.0, 0.0, 9.0])
    found: Any = SimpleNamespace(log_marginal=log_p)
    assert odd_rows._least_likely(found).tolist() == [1, 4, 2, 6, 3, 5]


@pytest.mark.parametrize(
    ("excess", "rate", "words"),
    [
        ([0.2, -0.04, -3.0], -1.26, "c = 7 (-3.0); its code z is unusual (-1.3)"),
        (
            [-1.0, -2.0, -3.0],
            -9.0,
            "its code z is unusual (-9.0); c = 7 (-3.0); b = 6 (-2.0)",
        ),
        ([0.2, -0.04, 3.0], 5.0, "no column alone"),
    ],
)
def test_what_is_odd_is_what_adds_less_than_usual(
    vae: pv.VAE, excess: list[float], rate: float, words: str
) -> None:
    rows = np.array([[0.0, 0.0, 0.0], [5.0, 6.0, 7.0]], dtype=np.float32)
    about = subject(vae, rows, columns=("a", "b", "c"))
    odd = Odd(np.array([excess]), np.array([rate]))
    assert odd_rows._why(about, odd, 0, 1) == words


def test_a_row_is_odd_for_the_column_that_is_far_out(vae: pv.VAE) -> None:
    rows = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    rows[7, 1] = 30.0
    pv.fit(vae, rows, epochs=1, progress=False)
    about = subject(vae, rows)
    found = pv.evidence(vae, rows, num_particles=50, progress=False)
    odd = odd_rows._parts(about, found.log_marginal, np.array([7]))
    assert odd.excess[0].argmin() == 1
    assert odd.excess[0, 1] < -10
    # log p(x) is what the columns add and what z adds
    log_p = found.log_marginal
    lower = log_p[7] - np.delete(log_p, 7).mean()
    assert odd.excess[0].sum() + odd.rate[0] == pytest.approx(lower, rel=1e-4)


def test_names_of_classes_leave_room_for_those_of_the_axes(
    vae: pv.VAE, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[Figure] = []

    def keep(drawn: Figure, _: str) -> str:
        figures.append(drawn)
        return ""

    monkeypatch.setattr(latent_part, "svg", keep)
    wide = pv.VAE(data_shape=(3,), latent_dim=3, hidden_dims=(4,))
    rows = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    classes = np.array(["a long name of a bird, and more", "owl", "tit"] * 10)
    about = subject(wide, rows, classes=classes)
    latent_part._map(about, Answers(about))
    assert nothing_cut_off(figures[0])


HISTORY = [
    {
        "epoch": float(epoch),
        "loss": 9.0,
        "elbo": -9.0,
        "rate": 4.0,
        "distortion": 5.0,
        "seconds": 0.5,
        "val_loss": loss,
        "val_elbo": -loss,
    }
    for epoch, loss in enumerate([12.0, 11.0, 10.5, 10.25], 1)
]
IMPROVING = "It is the last epoch, and still improving"


def trained(vae: pv.VAE, history: list[dict[str, float]]) -> str:
    about = subject(vae, np.zeros((2, 3)), history=history)
    return Page(training(about, Answers(about))).whole


def test_a_training_that_still_improves_says_so(vae: pv.VAE) -> None:
    text = trained(vae, HISTORY)
    assert "4 epochs in 2 s. The weights are those of epoch 4," in text
    assert (
        "In that epoch the ELBO was -9.00 nats per row over the training batches, while the "
        "weights still moved, and -10.25 on validation rows after it." in text
    )
    assert IMPROVING in text


def test_a_last_epoch_that_is_hardly_better_does_not_promise_more(vae: pv.VAE) -> None:
    last = {**HISTORY[3], "val_loss": 10.45, "val_elbo": -10.45}
    text = trained(vae, [*HISTORY[:3], last])
    assert "those of epoch 4," in text
    assert IMPROVING not in text
    earlier = trained(vae, [*HISTORY[:3], {**last, "val_loss": 13.0}])
    assert "those of epoch 3," in earlier
    assert IMPROVING not in earlier


@pytest.mark.parametrize(
    ("measure", "words"),
    [
        (Measure(mass="0:64"), "probability mass of columns 0 to 63"),
        (
            Measure(density="0:3, 5, 7:9", mass="4", given="the total of columns 9:12"),
            "density of columns 0 to 2, 5, 7 to 8 and probability mass of column 4, given the "
            "total of columns 9 to 11",
        ),
        (
            Measure(density="3", mask=True),
            "density of column 3 and probability mass of the mask of observed cells",
        ),
    ],
)
def test_what_log_p_is_of_in_words(measure: Measure, words: str) -> None:
    assert overview.in_words(measure) == words


@pytest.mark.parametrize(
    ("weak", "words"),
    [
        (0, "All 3 checks have passed"),
        (1, "1 of 3 checks has not passed: a (warn)."),
        (2, "2 of 3 checks have not passed: a (warn), b (warn)."),
    ],
)
def test_how_many_checks_have_passed(weak: int, words: str) -> None:
    found = [
        Finding(name=name, verdict="warn" if i < weak else "pass", meaning="")
        for i, name in enumerate("abc")
    ]
    assert overview._not_passed(found).startswith(words)
