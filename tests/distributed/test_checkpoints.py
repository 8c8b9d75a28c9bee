"""Checkpoints and compiled gradients of several processes, and what one tells the others."""

import shutil

import numpy as np
import pytest
import torch

from pyro_vae.training import fit
from tests.distributed import worker
from tests.distributed.test_process_group import assert_alike
from tests.distributed.worker import several
from tests.training.small import X, same, small

pytestmark = pytest.mark.slow
NOISY = {"batch_size": 16, "schedule": "constant", "validation": 9}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def halves(home):
    """Three of six epochs in two processes, and what the first process refuses."""
    return several(home, "half_way", "refused_by_the_first")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Runs with compiled gradients and with eager ones, of each of two processes."""
    return several(tmp_path_factory.mktemp("compiled"), "compiled")["compiled"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Six epochs of a process alone, and three of them in files that others go on from."""
    folder = tmp_path_factory.mktemp("one")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run = worker.elastic(6)
        (folder / "elastic").unlink()
        worker.elastic(3)
        fit(small(), X, epochs=3, **NOISY, checkpoint="noisy")
    return folder, run


def test_one_process_goes_on_for_two(halves, home, whole, monkeypatch):
    """The same batches: without noise, equal to six epochs of one process up to rounding."""
    monkeypatch.chdir(home)
    assert_alike("two, then one", worker.elastic(6), whole[1])


def test_two_processes_go_on_for_one(whole, tmp_path):
    """So do two; with noise they draw other numbers, and the file has those of each."""
    folder, expected = whole
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    found = several(tmp_path, "the_rest", "noisy_rest")
    first, second = found["the_rest"]
    assert_alike("one, then two", first, expected)
    assert first["history"] == second["history"]
    (run, again), (other, _) = found["noisy_rest"]
    assert same(run["weights"], again["weights"])
    assert same(run["weights"], other["weights"])
    assert run["history"] == again["history"] == other["history"]
    alone = fit(small(), X, epochs=6, **NOISY)
    ends = [row["loss"] for row in run["history"]]
    assert ends[:3] == [row["loss"] for row in alone.history[:3]]
    assert ends[3:] != [row["loss"] for row in alone.history[3:]]
    np.testing.assert_allclose(
        ends[3:], [row["loss"] for row in alone.history[3:]], rtol=0.2
    )


def test_the_first_process_refuses_for_all(halves):
    """A damaged checkpoint, and a folder that holds something."""
    (damaged, taken, files), (damaged_too, taken_too, _) = halves[
        "refused_by_the_first"
    ]
    assert damaged == damaged_too
    assert "damaged: holds no unfinished run" in damaged
    assert taken == taken_too
    assert "taken: holds metrics.json; choose another folder" in taken
    assert files == ["metrics.json"]


@pytest.mark.parametrize("name", ["plain", "normed", "spare", "grey"])
def test_compiled_gradients_are_the_eager_ones(compiled, name):
    for found in compiled:
        (run, graphs, messages), (eager, none, _) = found[name]
        assert (graphs, none, messages) == (1, 0, [])
        torch.testing.assert_close(
            run["weights"], eager["weights"], rtol=1e-5, atol=1e-6
        )
        for row, expected in zip(run["history"], eager["history"], strict=True):
            assert row == pytest.approx(expected, rel=1e-5)
    first, second = (found[name][0][0] for found in compiled)
    assert same(first["weights"], second["weights"])


def test_a_loss_of_the_rows_of_all_stays_eager(compiled):
    first, second = (found["free_bits"][0] for found in compiled)
    assert [first[1], second[1]] == [0, 0]
    assert second[2] == []
    (message,) = first[2]
    assert message == (
        "fit: the step can't be compiled and stays eager: its loss is of the rows of all "
        "processes, such as free bits; compile='off' avoids the attempt"
    )


@pytest.mark.parametrize("name", ["one_stops", "one_stops_in_the_evidence"])
def test_a_stopped_process_is_named(tmp_path, name):
    """And learns, when it goes on, that the other has left, or gives no signs in the end."""
    first, second = several(tmp_path, name)[name]
    assert first.startswith("process 1 has given no sign of life for ")
    assert first.endswith("To wait longer: timeout=30")
    assert "goes on after its last epoch (resume=True" in first
    assert second.startswith(("another process has ended", "process 0 has given no"))


def test_a_killed_process_is_noticed(tmp_path):
    first, _ = several(tmp_path, "one_is_killed")["one_is_killed"]
    assert first.startswith("another process has ended, and all share the work")
