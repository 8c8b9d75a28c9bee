"""Every question about rows takes them as a table: by name, with the numbers of the array."""

from collections.abc import Callable
from functools import cache
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pytest

import pyro_vae as pv
from pyro_vae.analysis import rate
from pyro_vae.analysis.marginal_likelihood import sharded
from pyro_vae.analysis.marginal_likelihood.sharded import sharded_evidence
from pyro_vae.training.baseline import baseline_of

ROWS = 24
LABELS = [f"bird {i}" for i in range(ROWS)]
FEW = {"num_particles": 20, "progress": False}


@cache
def data() -> pd.DataFrame:
    """A table of four kinds of columns; the last one is far from zero, and is shifted."""
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "name": LABELS,
            "mass": rng.normal(3, 1, ROWS),
            "species": ["owl", "tit", "hen", "owl"] * (ROWS // 4),
            "ringed": rng.random(ROWS) > 0.5,
            "day": 2459000.5 + rng.integers(0, 30, ROWS) / 8,
        }
    )


@cache
def model(seed: int = 0) -> pv.VAE:
    vae = pv.VAE.from_data(data(), latent_dim=2, hidden_dims=(8,), seed=seed)
    pv.fit(vae, data(), epochs=2, validation=None, progress=False)
    return vae


@cache
def numbers() -> np.ndarray:
    return pv.data.table(data()).values


def shuffled() -> pd.DataFrame:
    """Other order of columns, other types, and labels that look like positions of other rows."""
    frame = data()[["day", "species", "name", "ringed", "mass"]]
    frame = frame.assign(
        species=frame["species"].astype("category"),
        ringed=frame["ringed"].astype("int8"),
    )
    return frame.set_index(pd.Index(np.arange(ROWS)[::-1] / 2))


LIBRARIES = {"polars", "pyarrow"}
FORMS: dict[str, Callable[[], Any]] = {
    "pandas": shuffled,
    "polars": lambda: nw.from_native(data()).to_polars(),
    "pyarrow": lambda: nw.from_native(data()).to_arrow(),
    "Table": lambda: pv.data.table(data()),
    "Table of another order": lambda: pv.data.table(shuffled()),
}


def first(x: Any, count: int = 2) -> Any:
    """The first rows, for questions that take long."""
    return getattr(x, "iloc", x)[:count]


def fitted(x: Any, **options: Any) -> np.ndarray:
    """The history of a fit, without its times."""
    vae = pv.VAE.from_data(data(), latent_dim=2, hidden_dims=(8,))
    run = pv.fit(vae, x, epochs=2, progress=False, **options)
    return np.array([row["loss"] for row in run.history])


ASKED: dict[str, Callable[[Any], Any]] = {
    "fit": lambda x: fitted(x, validation=0.2),
    "fit with validation rows": lambda x: fitted(x, validation=x),
    "fit with weights": lambda x: fitted(x, weights=np.linspace(0.5, 2, ROWS)),
    "evidence": lambda x: pv.evidence(model(), x, **FEW),
    "sharded_evidence": lambda x: sharded_evidence(model(), x, **FEW),
    "annealed": lambda x: pv.annealed(
        model(), x, num_chains=4, temperatures=4, progress=False
    ),
    "inference_gaps": lambda x: pv.inference_gaps(
        model(), x, steps=4, num_particles=8, progress=False
    ),
    "latent_use": lambda x: pv.latent_use(model(), x, progress=False).variance,
    "audit": lambda x: pv.audit(
        model(),
        first(x),
        num_chains=2,
        num_samples=4,
        warmup_steps=8,
        progress=False,
    ),
    "anomaly": lambda x: pv.anomaly(model(), x, reference=x, num_samples=9, **FEW),
    "checkup": lambda x: [
        finding.number for finding in pv.checkup(model(), first(x, 6), **FEW).findings
    ],
    "compare": lambda x: pv.compare({"a": model(), "b": model(1)}, x, **FEW),
    "encode": lambda x: pv.encode(model(), x),
    "rate": lambda x: rate(model(), x),
    "reconstruct": lambda x: pv.reconstruct(model(), x, as_array=True),
    "class_probabilities": lambda x: np.concatenate(
        list(pv.class_probabilities(model(), x, as_array=True).values())
    ),
    "to_arviz": lambda x: pv.to_arviz(model(), x, num_samples=4)["posterior"]["z"],
    "baseline_of": lambda x: baseline_of(model(), x),
}
"""Questions about rows, and what is compared: an array, or the numbers of a result."""


def compared(found: Any) -> Any:
    """The numbers of a result; those of an array or a list are itself."""
    if hasattr(found, "columns") and callable(found.columns):
        return [
            np.asarray(column)
            for column in found.columns().values()
            if np.asarray(column).dtype.kind in "fiub"
        ]
    return np.asarray(found, dtype=float)


@cache
def expected(question: str) -> Any:
    """The answer about the array of the table's numbers."""
    return compared(ASKED[question](numbers()))


@pytest.mark.parametrize("form", ["pandas", "Table"])
@pytest.mark.parametrize("question", ASKED)
def test_a_table_has_the_numbers_of_its_array(question: str, form: str) -> None:
    got = compared(ASKED[question](FORMS[form]()))
    np.testing.assert_array_equal(got, expected(question))


@pytest.mark.parametrize("form", ["polars", "pyarrow", "Table of another order"])
@pytest.mark.parametrize("question", ["fit with validation rows", "encode", "evidence"])
def test_all_libraries_have_the_same_numbers(question: str, form: str) -> None:
    if form in LIBRARIES:
        pytest.importorskip(form)
    got = compared(ASKED[question](FORMS[form]()))
    np.testing.assert_array_equal(got, expected(question))


LABELLED = [
    "evidence",
    "sharded_evidence",
    "annealed",
    "inference_gaps",
    "audit",
    "anomaly",
    "encode",
]


@pytest.mark.parametrize("question", LABELLED)
def test_the_rows_of_a_result_have_the_labels_of_the_table(question: str) -> None:
    found = ASKED[question](shuffled()).to_dataframe()
    assert found.index.tolist() == LABELS[: len(found)]


@pytest.mark.parametrize("form", ["polars", "pyarrow", "Table"])
def test_labels_of_all_libraries(form: str) -> None:
    if form in LIBRARIES:
        pytest.importorskip(form)
    assert pv.encode(model(), FORMS[form]()).to_dataframe().index.tolist() == LABELS


def test_a_comparison_has_the_labels_by_row() -> None:
    assert ASKED["compare"](data()).by_row().index.tolist() == LABELS


def test_the_index_labels_the_rows_of_a_model_without_labels() -> None:
    frame = data().drop(columns="name").set_index(pd.Index(LABELS[::-1]))
    vae = pv.VAE.from_data(frame, latent_dim=1, hidden_dims=(4,))
    assert pv.encode(vae, frame[3:5]).to_dataframe().index.tolist() == LABELS[20:18:-1]


def test_an_anomaly_names_the_columns_of_the_model() -> None:
    expected = ("mass", "species", "ringed", "day")
    for x in (shuffled(), pv.data.table(data()), numbers()):
        found = pv.anomaly(model(), x, num_samples=9, **FEW)
        assert found.column_names == expected
        named = {name for row in range(ROWS) for name, _ in found.top_columns(row)}
        assert named <= {*expected, "rate"}


def test_probabilities_have_the_names_of_columns_and_levels() -> None:
    named = pv.class_probabilities(model(), shuffled())
    assert list(named) == ["species"]
    assert list(named["species"]) == ["hen", "owl", "tit"]
    assert named["species"].index.tolist() == LABELS
    np.testing.assert_allclose(named["species"].sum(axis=1), 1, rtol=1e-6)
    most_probable = named["species"].idxmax(axis=1)
    shown = pv.reconstruct(model(), data())
    assert most_probable.tolist() == shown["species"].tolist()


def test_reconstructions_are_frames_of_the_same_library_with_labels() -> None:
    shown = pv.reconstruct(model(), shuffled())
    assert shown.index.tolist() == LABELS
    assert list(shown) == ["mass", "species", "ringed", "day"]
    assert shown["ringed"].dtype == bool
    assert shown["day"].between(2459000, 2459010).all()


@pytest.mark.parametrize("form", FORMS)
def test_processes_share_the_rows_by_position(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Floats in the index of a DataFrame would be labels to a slice, and not positions."""
    if form in LIBRARIES:
        pytest.importorskip(form)
    parts: list[Any] = []

    def gathered(own: Any) -> list[Any]:
        """Those of the processes so far; the last one has all."""
        parts.append(own)
        return parts

    monkeypatch.setattr(sharded, "world_size", lambda: 2)
    monkeypatch.setattr(sharded, "gathered", gathered)
    monkeypatch.setattr(sharded, "_interleaved", lambda parts: parts[0])
    monkeypatch.setattr(sharded, "rank", lambda: 0)
    sharded_evidence(model(), FORMS[form](), **FEW)
    monkeypatch.undo()
    monkeypatch.setattr(sharded, "world_size", lambda: 2)
    monkeypatch.setattr(sharded, "gathered", gathered)
    monkeypatch.setattr(sharded, "rank", lambda: 1)
    whole = sharded_evidence(model(), FORMS[form](), **FEW)
    expected = pv.evidence(model(), numbers(), **FEW)
    np.testing.assert_allclose(whole.log_marginal, expected.log_marginal, rtol=1e-5)
    np.testing.assert_array_equal(whole.row_hashes, expected.row_hashes)
    if form != "Table of another order":
        assert whole.to_dataframe().index.tolist() == LABELS


def test_a_table_is_cut_by_positions() -> None:
    rows = pv.data.table(data())
    assert rows[:3].labels == tuple(LABELS[:3])
    assert rows[::-2].labels == tuple(LABELS[::-2])
    assert rows[np.array([5, 2])].labels == (LABELS[5], LABELS[2])
    for wrong in (0, "mass", ["mass"]):
        with pytest.raises((ValueError, IndexError)):
            rows[wrong]


def test_an_array_in_the_units_of_a_table_is_refused() -> None:
    """The model sees days less 2459000; an array of days has 2459004 where it expects 4."""
    rows = numbers().astype(np.float64)
    pv.encode(model(), rows)
    rows[:, 3] = data()["day"]
    message = r"^x: column 'day': expected numbers less the offset 24590\d\d.*pass a DataFrame"
    with pytest.raises(ValueError, match=message):
        pv.encode(model(), rows)
    with pytest.raises(ValueError, match=message.replace("x:", "validation:")):
        pv.fit(model(), numbers(), validation=rows, epochs=1, progress=False)
    # the remedies work
    expected = pv.encode(model(), numbers()).loc
    np.testing.assert_array_equal(pv.encode(model(), data()).loc, expected)


def test_a_model_that_was_made_without_the_table_refuses_its_text() -> None:
    vae = pv.VAE(data_shape=(4,), latent_dim=1, hidden_dims=(4,))
    rows = pv.data.table(data())
    with pytest.raises(
        ValueError,
        match="column 'species': likelihood 'normal' needs numbers, got the levels 'hen'",
    ):
        pv.fit(vae, rows, epochs=1, progress=False)


def test_a_model_that_was_made_without_the_table_learns_its_columns() -> None:
    rows = pv.data.table(data().drop(columns="species"))
    vae = pv.VAE(data_shape=(3,), latent_dim=1, hidden_dims=(4,), likelihood="laplace")
    pv.fit(vae, rows, epochs=1, progress=False)
    assert vae.spec.table is not None
    assert [column.kind for column in vae.spec.table.modelled] == 3 * ["laplace"]
    expected = pv.encode(vae, rows).loc
    other = shuffled().drop(columns="species")
    np.testing.assert_array_equal(pv.encode(vae, other).loc, expected)
