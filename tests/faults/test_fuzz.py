"""Random descriptions with random rows, and random damages of files: each does what it should, or
is refused in a sentence; nothing else comes out, and nothing hangs.

PYRO_VAE_FUZZ=10000 python -m pytest -m slow tests/faults/test_fuzz.py
"""

import os
import signal
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import pyro_vae as pv
from pyro_vae.analysis.fitted import has_density
from pyro_vae.experiment.description import Experiment
from pyro_vae.experiment.fields import experiment_of
from pyro_vae.experiment.sources import read_described
from tests.faults.damages import damaged, whole_files
from tests.faults.descriptions import Trial, trials

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
COUNT = int(os.environ.get("PYRO_VAE_FUZZ", "2000"))
LONGEST = 2500
PATIENCE = 60
OURS = ("pyro_vae", "guides", "analysis")


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """A block that may take so long."""

    def ring(*_: Any) -> None:
        raise AssertionError(f"still at it after {seconds} s")

    former = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)


def outcome(act: Callable[[], Any]) -> str:
    """ "done", or "refused" where a sentence of this library says why."""
    try:
        with within(PATIENCE), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            act()
    except (ValueError, MemoryError) as error:
        require_sentence(error)
        return "refused"
    return "done"


def require_sentence(error: Exception) -> None:
    """It is raised by this library, not passed on, and says what it is about."""
    text = str(error)
    raised = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    assert raised.is_relative_to(ROOT), error
    assert raised.relative_to(ROOT).parts[0] in OURS, error
    assert 20 < len(text) < LONGEST, error
    assert "validation error" not in text, error
    assert "Traceback" not in text, error


def fitted(trial: Trial) -> None:
    """A model is made, trained for two epochs, and asked."""
    options = dict(trial.options)
    if options.get("weights") == "of the rows":
        options["weights"] = np.ones(len(trial.rows))
    vae = pv.VAE(**trial.fields)
    run = pv.fit(vae, trial.rows, **options)
    assert run.history
    for row in run.history:
        assert np.isfinite(list(row.values())).all(), row
    assert all(bool(one.isfinite().all()) for one in vae.state_dict().values())
    codes = pv.encode(vae, trial.rows)
    assert np.isfinite(codes.loc).all()
    if has_density(vae):
        found = pv.evidence(vae, trial.rows, num_particles=3)
        assert not np.isnan(found.log_marginal).any()
        pv.sample(vae, 2)


VALUES: list[Any] = [
    *(None, True, -1, 0, 1, 3, 0.5, 1e30, float("nan"), "", "x", "auto", "9" * 400),
    *([], [1], [1, 2], [[[]]], ["a"] * 200, {}, {"kind": "mixture"}, {"kind": "x"}),
    *({"kind": [1]}, {"a": {"b": {"c": 1}}}, "mixture", "iwae", "digits"),
]
SETTINGS = [
    *("", "", "", "fit.epochs=3", "a=b", "prior={kind=mixture", "data.columns=[a, b]"),
    *("x", "=", "a.b.c.d=1", "fit=3", 'columns."a=3', "seed=1e9", "latent_dim=[1]"),
]
SEEN: Counter[str] = Counter()


@settings(
    max_examples=COUNT,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(trials())
def one_trial(trial: Trial) -> None:
    SEEN[outcome(lambda: fitted(trial))] += 1


def test_random_descriptions_fit_or_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    SEEN.clear()
    one_trial()
    with capsys.disabled():
        print(f"\n{SEEN.total()} descriptions with rows: {dict(SEEN)}")  # noqa: T201
    assert min(SEEN["done"], SEEN["refused"]) > COUNT / 10


FILES = COUNT * 6 // 10


def read_all(path: Path) -> None:
    """The arrays or the table of a file, as the command reads it."""
    experiment = Experiment.model_validate({"data": str(path)})
    source = read_described(experiment)
    assert len(source.train) > 0
    assert np.asarray(source.train[:2]).dtype.kind in "buif"


def test_damaged_files_are_read_or_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    files = whole_files()
    seen: Counter[str] = Counter()
    for number in range(FILES):
        name = list(files)[number % len(files)]
        path = tmp_path / name
        content = damaged(files[name], rng)
        path.write_bytes(content)
        try:
            seen[outcome(lambda p=path: read_all(p))] += 1
        except Exception as error:
            error.add_note(f"{name}, damage {number}: {content[:300]!r}")
            raise
    with capsys.disabled():
        print(f"\n{FILES} damaged files: {dict(seen)}")  # noqa: T201
    assert min(seen["done"], seen["refused"]) > FILES / 50  # most damages are seen


def changed(table: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """A description with other values, tables and names at some places."""
    found = dict(table)
    for _ in range(int(rng.integers(1, 3))):
        name = str(rng.choice([*found, "new"]))
        inner = found.get(name)
        if isinstance(inner, dict) and rng.random() < 0.6:
            found[name] = changed(inner, rng)
        elif name in found and rng.random() < 0.2:
            del found[name]
        else:
            found[name] = VALUES[rng.integers(len(VALUES))]
    return found


def test_changed_descriptions_are_read_or_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rng = np.random.default_rng(0)
    whole = Experiment().model_dump(mode="json") | {"columns": {"a": "normal"}}
    seen: Counter[str] = Counter()
    for _ in range(COUNT):
        kept = {name: whole[name] for name in whole if rng.random() < 0.5}
        description = changed(kept, rng)
        setting = SETTINGS[rng.integers(len(SETTINGS))]
        try:
            seen[
                outcome(
                    lambda d=description, s=setting: experiment_of(d, [s] if s else [])
                )
            ] += 1
        except Exception as error:
            error.add_note(f"{description}, {setting}")
            raise
    with capsys.disabled():
        print(f"\n{COUNT} changed descriptions: {dict(seen)}")  # noqa: T201
    assert min(seen["done"], seen["refused"]) > COUNT / 50


def test_files_that_are_whole_are_read(tmp_path: Path) -> None:
    for name, content in whole_files().items():
        path = tmp_path / name
        path.write_bytes(content)
        assert outcome(lambda p=path: read_all(p)) == "done", name
