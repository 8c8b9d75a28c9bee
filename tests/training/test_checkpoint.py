"""A run that was broken off goes on from its checkpoint, bit for bit as if nothing had happened."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from pyro_vae.checksums import content_sha256
from pyro_vae.training import checkpoint, fit
from tests.training.small import BITS, X, same, small, weights, without_clock

RUN = {"epochs": 6, "batch_size": 16, "lr": 1e-2, "validation": 8, "device": "cpu"}


class PowerCut(Exception):
    """What breaks a run off."""


def cut(done):
    """A constant schedule, until the lights go out in the fifth epoch."""
    if done > 0.7:
        raise PowerCut
    return 1.0


def steady(done):
    return 1.0


@pytest.fixture(autouse=True)
def after_each_epoch(monkeypatch):
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)


def run(vae, x=X, schedule=steady, **options):
    fitted = fit(vae, x, schedule=schedule, **{**RUN, **options})
    return without_clock(fitted.history), fitted.best_epoch, weights(vae)


def broken(path, make=small, x=X, **options):
    """The same run, broken off and taken up again by a new model."""
    with pytest.raises(PowerCut):
        run(make(), x, cut, checkpoint=path, **options)
    return run(make(), x, checkpoint=path, **options)


def modern():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3))
    return small(encoder=net, denoise=0.1)


def loader():
    return DataLoader(TensorDataset(torch.from_numpy(X)), batch_size=16, shuffle=True)


def grey():
    return small(likelihood="bernoulli")


class Tiring(torch.optim.SGD):
    """Halves its rate every third step, and counts in Python."""

    def step(self, closure=None):
        for group in self.param_groups:
            for weight in group["params"]:
                kept = self.state[weight]
                kept["count"] = kept.get("count", 0) + 1
                group["lr"] *= 0.5 ** (kept["count"] % 3 == 0)
        super().step(closure)


CASES = {
    "averaged and annealed": (
        small,
        X,
        {"ema_decay": 0.9, "kl_warmup_epochs": 4, "clip_norm": 5.0},
    ),
    "with noise of its own": (modern, X, {"optimizer": "adamw"}),
    "momentum": (
        small,
        X,
        {"optimizer": "sgd", "optimizer_options": {"momentum": 0.9}},
    ),
    "numbers in the optimizer": (
        small,
        X,
        {"optimizer": lambda weights: Tiring(weights, lr=0.05)},
    ),
    "rows that come by themselves": (small, loader(), {"validation": None}),
    "new bits in each step": (grey, BITS / 2 + 0.25, {"binarize": "dynamic"}),
    "the first epoch was best": (
        small,
        X,
        {"lr": 2.0, "optimizer": "sgd", "clip_norm": 1.0},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("make", "x", "options"), CASES.values(), ids=CASES)
def test_it_goes_on_as_if_nothing_had_happened(make, x, options, tmp_path):
    whole, again = (
        run(make(), x, **options),
        broken(tmp_path / "run", make, x, **options),
    )
    assert whole[:2] == again[:2]
    assert same(whole[2], again[2])


def test_the_bar_shows_the_steps_of_the_whole_run(tmp_path, capsys):
    with pytest.raises(PowerCut):
        run(small(), schedule=cut, checkpoint=tmp_path / "run")
    run(small(), checkpoint=tmp_path / "run", progress=True)
    assert "18/18" in capsys.readouterr().err


def test_steps_are_counted_on(tmp_path, monkeypatch):
    steps = []
    read = checkpoint.Checkpoint.read

    def read_and_note(self):
        read(self)
        steps.append(self.training.state.steps)

    monkeypatch.setattr(checkpoint.Checkpoint, "read", read_and_note)
    broken(tmp_path / "run")
    assert steps == [0, 4 * 3]


def test_a_checkpoint_changes_nothing(tmp_path):
    without = run(small())
    beside = run(small(), checkpoint=tmp_path / "folders" / "are made" / "run")
    assert without[:2] == beside[:2]
    assert same(without[2], beside[2])


@pytest.mark.parametrize(
    "options", [{}, {"lr": 5.0, "optimizer": "sgd", "clip_norm": 1.0, "patience": 1}]
)
def test_a_run_that_was_over_is_given_back(options, tmp_path):
    first = run(small(), checkpoint=tmp_path / "run", **options)
    asked = []
    again = run(
        small(),
        checkpoint=tmp_path / "run",
        schedule=lambda done: asked.append(done) or 1.0,
        **options,
    )
    assert first[:2] == again[:2]
    assert same(first[2], again[2])
    assert asked == []
    assert (len(first[0]) < RUN["epochs"]) == bool(options)


def test_more_epochs_go_on_as_one_long_run_does(tmp_path):
    whole = run(small(), epochs=9)
    run(small(), checkpoint=tmp_path / "run", epochs=4)
    again = run(small(), checkpoint=tmp_path / "run", epochs=9)
    assert whole[:2] == again[:2]
    assert same(whole[2], again[2])


def test_more_epochs_follow_the_schedule_of_the_longer_run(tmp_path):
    run(small(), schedule="cosine", checkpoint=tmp_path / "run", epochs=4)
    history, _, _ = run(
        small(), schedule="cosine", checkpoint=tmp_path / "run", epochs=8
    )
    long, _, _ = run(small(), schedule="cosine", epochs=8)
    rates = [[row["lr"] for row in rows] for rows in (history, long)]
    assert rates[0][4:] == rates[1][4:]
    assert rates[0][3] < rates[1][3]


def test_fewer_epochs_than_were_made_are_refused(tmp_path):
    path = tmp_path / "run"
    run(small(), checkpoint=path, epochs=4)
    with pytest.raises(
        ValueError,
        match=f"^{path}: holds a run of 4 epochs, and 3 are asked for; take epochs=4",
    ):
        run(small(), checkpoint=path, epochs=3)
    assert len(run(small(), checkpoint=path, epochs=4)[0]) == 4


def test_other_weights_of_the_rows_are_another_run(tmp_path):
    path = tmp_path / "run"
    run(small(), checkpoint=path, weights=np.arange(1.0, 51.0))
    with pytest.raises(
        ValueError, match=f"^{path}: holds another run: rows of weights was"
    ):
        run(small(), checkpoint=path, weights=np.ones(50))


def test_it_is_written_at_the_start_now_and_then_and_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SECONDS", 3600.0)
    path = tmp_path / "run"

    def epochs():
        with safe_open(path, "pt") as file:
            return len(json.loads(file.metadata()["pyro_vae"])["history"])

    with pytest.raises(PowerCut):
        run(small(), schedule=cut, checkpoint=path)
    assert epochs() == 1
    run(small(), checkpoint=path)
    assert epochs() == RUN["epochs"]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_device_and_compiler_may_be_others(tmp_path):
    with pytest.raises(PowerCut):
        run(
            small(),
            schedule=cut,
            checkpoint=tmp_path / "run",
            device="auto",
            compile="auto",
        )
    assert (
        run(small(), checkpoint=tmp_path / "run", device="cpu", compile="off")[0]
        == run(small())[0]
    )


OTHERS = {
    "an option": ({"lr": 0.02}, {}, X, r"lr was 0\.01, and is 0\.02"),
    "an objective": (
        {"objective": {"kind": "iwae", "num_particles": 2}},
        {},
        X,
        "objective was None",
    ),
    "a model": ({}, {"latent_dim": 3}, X, r"model was .*latent_dim"),
    "fewer rows": ({}, {}, X[:40], r"rows of x was 50 rows, SHA-256 .*and is 40 rows"),
    "rows of the same number": (
        {},
        {},
        X + 1,
        r"rows of x was 50 rows, .*and is 50 rows",
    ),
}


@pytest.mark.parametrize(
    ("options", "fields", "x", "message"), OTHERS.values(), ids=OTHERS
)
def test_another_run_is_refused_and_left_alone(options, fields, x, message, tmp_path):
    path = tmp_path / "run"
    run(small(), checkpoint=path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"^{path}: holds another run: {message}"):
        run(small(**fields), x, checkpoint=path, **options)
    assert path.read_bytes() == before


def test_a_file_of_another_version_is_refused(tmp_path, monkeypatch):
    run(small(), checkpoint=tmp_path / "run")
    monkeypatch.setattr(checkpoint, "FORMAT", 3)
    with pytest.raises(
        ValueError,
        match=r"written by another version of pyro_vae: expected format 3, got 2; go",
    ):
        run(small(), checkpoint=tmp_path / "run")


def garbage(path):
    path.write_bytes(b"no tensors")


def half(path):
    path.write_bytes(path.read_bytes()[:-100])


def foreign(path):
    save_file({"weight": torch.zeros(2)}, path)


@pytest.mark.parametrize("damage", [garbage, half, foreign])
def test_a_damaged_file_is_refused(damage, tmp_path):
    path = tmp_path / "run"
    run(small(), checkpoint=path)
    damage(path)
    with pytest.raises(
        ValueError, match=f"^{path}: holds no unfinished run: .*; choose another file"
    ):
        run(small(), checkpoint=path)


def test_a_file_that_lacks_weights_is_refused(tmp_path):
    path = tmp_path / "run"
    run(small(), checkpoint=path)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = {
        name: value
        for name, value in load_file(path).items()
        if not name.startswith("model.model")
    }
    metadata["sha256"] = content_sha256(tensors, metadata["pyro_vae"])
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(ValueError, match=f"^{path}: damaged, or of another model: "):
        run(small(), checkpoint=path)


WRONG = {
    "history": 3,
    "best_epoch": 99,
    "steps": -1,
    "optimizer": {"77": {"step": 1}},
    "slept": [["loss"]],
    "versions": None,
    "made_for": [],
    "skipped": "many",
}


@pytest.mark.parametrize("field", WRONG)
def test_metadata_that_are_well_formed_and_wrong_are_refused(field, tmp_path):
    """With the checksum of what is there: a file that somebody has made."""
    path = tmp_path / "run"
    run(small(), checkpoint=path)
    with safe_open(path, "pt") as file:
        text = file.metadata()["pyro_vae"]
    tensors = load_file(path)
    text = json.dumps({**json.loads(text), field: WRONG[field]})
    seal = content_sha256(tensors, text)
    save_file(tensors, path, metadata={"pyro_vae": text, "sha256": seal})
    with pytest.raises(ValueError, match=f"^{path}: damaged, or of another"):
        run(small(), checkpoint=path)


def test_the_drafts_of_a_killed_writer_are_removed(tmp_path):
    """Here its own name has what is a pattern elsewhere."""
    path = tmp_path / "run[1]"
    (tmp_path / ".run[1].12345678.tmp").write_bytes(b"half")
    (tmp_path / ".run1.12345678.tmp").write_bytes(b"of another")
    run(small(), checkpoint=path, epochs=2)
    assert {one.name for one in tmp_path.iterdir()} == {"run[1]", ".run1.12345678.tmp"}


def test_other_validation_rows_are_another_run(tmp_path):
    path = tmp_path / "run"
    run(small(), checkpoint=path, validation=X[:9])
    changed = X[:9].copy()
    changed[8, 3] += 1
    with pytest.raises(
        ValueError, match=f"^{path}: holds another run: rows of validation"
    ):
        run(small(), checkpoint=path, validation=changed)


def test_other_rows_after_the_first_ones_are_another_run(tmp_path):
    path = tmp_path / "run"
    run(small(), checkpoint=path)
    changed = X.copy()
    changed[-1, -1] += 1e-3
    with pytest.raises(ValueError, match=f"^{path}: holds another run: rows of x"):
        run(small(), changed, checkpoint=path)


def test_other_rows_of_a_loader_are_a_warning(tmp_path):
    """Rows that are changed at random differ from pass to pass too."""
    path = tmp_path / "run"
    options = {"validation": None, "checkpoint": path}
    run(small(), loader(), epochs=2, **options)
    run(small(), loader(), epochs=3, **options)
    other = DataLoader(TensorDataset(torch.from_numpy(X + 1)), batch_size=16)
    with pytest.warns(UserWarning, match=r"^fit: rows of x was 50 rows of a loader"):
        run(small(), other, epochs=4, **options)


def test_other_versions_are_a_warning(tmp_path, monkeypatch):
    path = tmp_path / "run"
    run(small(), checkpoint=path, epochs=2)
    monkeypatch.setattr(checkpoint, "versions", lambda: {"torch": "9.9"})
    with pytest.warns(UserWarning, match=r"was written with .*torch .*, now 9\.9"):
        run(small(), checkpoint=path, epochs=3)


def test_a_full_disk_ends_no_run(tmp_path, monkeypatch):
    def full(*arguments, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_tensors", full)
    with pytest.warns(
        UserWarning,
        match=r"^fit: the checkpoint can't be written.* goes on without: .*space",
    ):
        history, _, _ = run(small(), checkpoint=tmp_path / "run")
    assert len(history) == RUN["epochs"]
    assert list(tmp_path.iterdir()) == []


def test_no_row_is_in_the_file(tmp_path):
    x = X.copy()
    x[:, 0] = np.float32(1234.5678)
    run(small(), x, checkpoint=tmp_path / "run", epochs=1)
    assert x[:2].tobytes() not in (tmp_path / "run").read_bytes()
