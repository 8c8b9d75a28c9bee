"""The likelihood that the rows decide: its kind, or its size where the kind is named."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyro_vae as pv
from pyro_vae.data.natural_likelihood import natural_likelihood, sized_likelihood
from pyro_vae.experiment.description import Experiment, settled
from tests.cli.command import pyro_vae

RNG = np.random.default_rng(0)
POISSON = RNG.poisson(6.0, (400, 3))
OVERDISPERSED = RNG.negative_binomial(1.0, 0.05, (400, 3))

ROWS: dict[str, tuple[np.ndarray, str, str]] = {
    "bits": (RNG.integers(0, 2, (50, 3)), "bernoulli", "each value is 0 or 1"),
    "bits as floats": (
        RNG.integers(0, 2, (50, 3)).astype(np.float32),
        "bernoulli",
        "each value is 0 or 1",
    ),
    "Poisson counts": (
        POISSON,
        "poisson",
        "whole numbers from 0 to 1[0-9] whose variance is (0.9|1|1.1)[0-9]* times",
    ),
    "overdispersed counts": (
        OVERDISPERSED,
        "negative_binomial",
        "whose variance is [12][0-9] times their mean",
    ),
    "counts as floats": (
        OVERDISPERSED.astype(np.float32),
        "negative_binomial",
        "whose variance",
    ),
    "grades": (
        RNG.integers(1, 6, (200, 3)),
        "normal",
        "whole numbers from 1 to 5 with few values; .*'categorical'",
    ),
    "years": (
        RNG.integers(1980, 2020, (200, 2)),
        "normal",
        "times their mean, too small for counts",
    ),
    "bytes of an image": (
        RNG.integers(0, 200, (50, 4, 4), np.uint8),
        "normal",
        "are taken for grey levels",
    ),
    "bytes in columns": (
        np.append(POISSON, [[255, 0, 0]], 0),
        "normal",
        "from 0 to 255 are taken for grey levels",
    ),
    "below zero": (POISSON - 3, "normal", "the values are real numbers"),
    "measured": (RNG.normal(size=(50, 3)), "normal", "the values are real numbers"),
    "one that is not whole, late": (
        np.append(POISSON.repeat(9, 0), [[0.5, 0, 0]], 0),
        "normal",
        "real numbers",
    ),
    "a missing number": (
        np.array([[0.0, np.nan]]),
        "bernoulli",
        "each value is 0 or 1",
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_the_table_of_kinds(name: str) -> None:
    rows, kind, why = ROWS[name]
    found = natural_likelihood(rows)
    assert found.likelihood == kind
    assert re.search(why, found.why), found.why


def test_it_sees_all_splits() -> None:
    assert (
        natural_likelihood(np.zeros((3, 2)), np.array([[0.5, 1.0]])).likelihood
        == "normal"
    )
    assert (
        sized_likelihood("binomial", np.zeros((3, 2)), np.array([[7, 1]])).likelihood[
            "total_count"
        ]
        == 7
    )


def test_counts_score_higher_by_what_is_chosen() -> None:
    """Overdispersed counts of which a normal knows nothing: log p(x) of held-out rows."""
    chosen = natural_likelihood(OVERDISPERSED).likelihood
    scores = {}
    for likelihood in (chosen, {"kind": "normal", "scale": "per_feature"}):
        vae = pv.VAE(
            data_shape=(3,), latent_dim=1, hidden_dims=(8,), likelihood=likelihood
        )
        pv.fit(vae, OVERDISPERSED[:300], epochs=20, progress=False)
        scores[str(likelihood)] = pv.evidence(
            vae, OVERDISPERSED[300:], num_particles=100
        ).log_marginal.mean()
    assert scores[chosen] > min(scores.values()) + 0.5


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("binomial", {"total_count": 14}),
        ("categorical", {"num_classes": 15}),
        ("ordinal", {"num_classes": 15}),
    ],
)
@pytest.mark.parametrize(
    "form", [lambda kind: kind, lambda kind: {"kind": kind}], ids=["name", "table"]
)
def test_a_bare_kind_takes_its_size_from_the_data(
    kind: str, named: dict[str, int], form: Any
) -> None:
    rows = np.minimum(POISSON, 14)
    experiment, why = settled(
        Experiment.model_validate({"likelihood": form(kind)}), rows
    )
    assert experiment.likelihood.options() == named
    assert why == "the largest value is 14"
    assert experiment.model_dump(exclude_unset=True)["likelihood"] == {
        "kind": kind,
        **named,
    }


def test_a_size_that_is_named_is_kept() -> None:
    asked = Experiment.model_validate(
        {"likelihood": {"kind": "binomial", "total_count": 99}}
    )
    assert settled(asked, POISSON) == (asked, "")


@pytest.mark.slow
def test_the_command_says_what_it_chose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("counts.npy", np.minimum(POISSON, 14))
    small = [
        "--set",
        "fit.epochs=1",
        "--set",
        "hidden_dims=[4]",
        "--set",
        "evaluate.num_particles=5",
    ]
    done = pyro_vae("fit", "counts.npy", *small)
    assert (
        "likelihood poisson: whole numbers from 0 to 14 whose variance is" in done.out
    )
    done = pyro_vae(
        "fit", "counts.npy", *small, "--overwrite", "--set", "likelihood=binomial"
    )
    assert (
        "likelihood binomial with total_count 14: the largest value is 14" in done.out
    )
    assert pv.load("runs/counts").spec.likelihood.options() == {"total_count": 14}
    assert (
        pyro_vae("evaluate", "runs/counts", "--set", "evaluate.num_particles=5").status
        == 0
    )
    done = pyro_vae(
        "fit", "counts.npy", *small, "--overwrite", "--set", "likelihood=normal"
    )
    assert "for another" not in done.out


@pytest.mark.parametrize(
    "kind", ["bernoulli", "normal", "poisson", "negative_binomial"]
)
def test_missing_cells_change_no_choice(kind):
    random = np.random.default_rng(0)
    drawn = {
        "bernoulli": random.integers(0, 2, (400, 3)),
        "normal": random.normal(size=(400, 3)),
        "poisson": random.poisson(9.0, (400, 3)),
        "negative_binomial": random.negative_binomial(2, 0.1, (400, 3)),
    }[kind].astype(float)
    assert natural_likelihood(drawn).likelihood == kind
    drawn[random.random(drawn.shape) < 0.3] = np.nan
    assert natural_likelihood(drawn).likelihood == kind
