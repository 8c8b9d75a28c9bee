"""docs/logging.md: its callbacks stop a run, and log it where the libraries are installed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import DOCS, blocks, run, small

FIRST, *OTHERS = blocks(DOCS / "logging.md")
EPOCHS = 3
WITHOUT = FIRST.partition("def show")[0]

Page = Callable[[str], dict[str, Any]]


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Page:
    """Runs what the page says about a library in an empty folder, with few epochs."""
    monkeypatch.chdir(tmp_path)

    def names_after(library: str) -> dict[str, Any]:
        (code,) = [block for block in OTHERS if library in block]
        few = small(code).replace("epochs=1", f"epochs={EPOCHS}")
        return run(WITHOUT + few, "logging")[0]

    return names_after


def test_the_libraries_of_the_page_are_those_that_are_tested() -> None:
    imported = [block.splitlines()[0].split()[1].split(".")[0] for block in OTHERS]
    assert imported == ["torch", "mlflow", "optuna"]


@pytest.mark.slow
def test_the_first_program_stops_where_it_says() -> None:
    names, printed = run(FIRST, "logging")
    history = names["run"].history
    assert names["run"].stopped
    assert [row["val_loss"] < 120 for row in history] == [False] * (
        len(history) - 1
    ) + [True]
    assert printed.count("validation ELBO") == len(history) + 1  # and that of the run


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_tensorboard_has_a_point_for_each_epoch(page: Page, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    page("tensorboard")
    events = EventAccumulator(str(tmp_path / "runs" / "tensorboard")).Reload()
    steps = [point.step for point in events.Scalars("val_elbo")]
    assert steps == [*range(1, EPOCHS + 1)]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_mlflow_has_metrics_and_the_saved_model(page: Page) -> None:
    mlflow = pytest.importorskip("mlflow")
    page("mlflow")
    client = mlflow.tracking.MlflowClient()
    number = mlflow.last_active_run().info.run_id
    steps = [point.step for point in client.get_metric_history(number, "val_elbo")]
    assert steps == [*range(1, EPOCHS + 1)]
    saved = {file.path for file in client.list_artifacts(number, "model")}
    assert saved == {"model/spec.json", "model/model.safetensors"}


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_optuna_prunes(page: Page) -> None:
    optuna = pytest.importorskip("optuna")
    trials = page("optuna")["study"].trials
    states = [trial.state for trial in trials]
    assert len(trials) == 10
    assert states.count(optuna.trial.TrialState.PRUNED) > 0
    assert states.count(optuna.trial.TrialState.COMPLETE) >= 3
