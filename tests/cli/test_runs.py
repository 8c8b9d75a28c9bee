"""`pyro-vae fit` on data of many kinds, and runs that are replaced, interrupted or unwritable."""

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import pytest

import pyro_vae as pv
from pyro_vae import saving
from pyro_vae.experiment import run as experiment_run
from pyro_vae.experiment import run_folder
from pyro_vae.experiment.description import DataOptions
from pyro_vae.experiment.splits import read_data
from pyro_vae.saving import write_model
from tests.cli.command import QUICK, SPEC, Done, contents, pyro_vae, write_data
from tests.cli.test_cli import MODEL, PICTURES, TABLES, TRAINED

SMALL = (*QUICK, "--set", "latent_dim=2", "--set", "hidden_dims=[8]")
AUTOENCODER = ("--set", "guide=delta", "--set", "prior=flat")
NO_SPACE = OSError(28, "No space left on device")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with small data; a picture is written as a word, because drawing is slow."""
    write_data(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        run_folder, "save_figure", lambda figure, path: path.write_text("picture")
    )
    return tmp_path


def names(folder: str) -> set[str]:
    return {path.name for path in Path(folder).iterdir()}


def spec(folder: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(Path(folder, "spec.json").read_text())["model"]
    return loaded


def metrics(folder: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(Path(folder, "metrics.json").read_text())
    return loaded


def assert_done(done: Done) -> Done:
    assert (done.status, done.err) == (0, "")
    return done


# Data and descriptions


def test_fit_from_a_description(home: Path) -> None:
    assert_done(
        pyro_vae(
            "fit",
            "spec.toml",
            "--set",
            "prior.kind=standard_normal",
            "--set",
            "fit.optimizer=sgd",
        )
    )
    assert spec("runs/normal")["hidden_dims"] == [8]
    assert spec("runs/normal")["likelihood"]["kind"] == "normal"
    described = json.loads((home / "runs/normal/spec.json").read_text())["run"]
    assert described["data"]["source"] == "normal.npy"
    assert described["fit"]["optimizer"] == "sgd"
    assert described["evaluate"]["num_particles"] == 20
    assert names("runs/normal") == MODEL | TABLES | (
        PICTURES - {"reconstructions.png"}
    )  # four numbers are no picture
    again = pyro_vae(
        "fit", "runs/normal", "--output", "again"
    )  # a run's description is a description
    assert_done(again)
    assert metrics("again") == metrics("runs/normal")


def test_data_of_a_description_can_be_others() -> None:
    assert_done(
        pyro_vae("fit", "spec.toml", "--data", "grey.npy", "--set", "data_shape=[4,4]")
    )
    assert spec("runs/grey")["data_shape"] == [4, 4]
    assert names("runs/grey") == MODEL | TABLES | PICTURES
    assert_done(
        pyro_vae(
            "reconstruct", "runs/grey", "--data", "grey.npy", "--output", "seen.npy"
        )
    )
    assert np.load("seen.npy").shape == (60, 4, 4)


@pytest.mark.parametrize(
    ("source", "name", "likelihood"),
    [("table.csv", "table", "normal"), ("bits.npy", "bits", "bernoulli")],
)
def test_fit_from_data(source: str, name: str, likelihood: str) -> None:
    assert_done(pyro_vae("fit", source, *SMALL))
    assert spec(f"runs/{name}")["likelihood"]["kind"] == likelihood
    assert metrics(f"runs/{name}")["rows"] == 12


def test_splits_of_the_source_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    fit, seen = experiment_run.fit, dict[str, Any]()
    monkeypatch.setattr(
        experiment_run,
        "fit",
        lambda vae, x, **options: (seen.update(x=x, **options), fit(vae, x, **options))[
            1
        ],
    )
    done = pyro_vae("fit", "splits.npz", *SMALL)
    assert_done(done)
    assert "splits: 40 rows to fit, 13 to choose the best epoch, 7 held out" in done.out
    splits = np.load("splits.npz")
    np.testing.assert_array_equal(seen["x"], splits["train"])
    np.testing.assert_array_equal(seen["validation"], splits["valid"])
    expected = pv.evidence(pv.load("runs/splits"), splits["test"], num_particles=20)
    assert metrics("runs/splits")["rows"] == 7
    assert metrics("runs/splits")["log_marginal"] == expected.mean_log_marginal
    again = pyro_vae("evaluate", "runs/splits", "--data", "splits.npz", "--json")
    assert again.json["metrics"] == metrics("runs/splits")


def test_rows_that_the_model_was_fitted_to_are_counted(home: Path) -> None:
    """60 rows, 48 of them fitted; in another format they are the same rows."""
    assert_done(pyro_vae("fit", "normal.npy", *SMALL))
    rows = read_data(DataOptions(source="normal.npy"), None)
    np.save("mine.npy", rows.test)
    np.save("other.npy", np.ones((5, 4)))
    np.save("single.npy", np.load("normal.npy").astype(np.float32))
    assert "equal rows" not in pyro_vae("evaluate", "runs/normal").out
    (home / "normal.npy").rename(
        home / "renamed.npy"
    )  # the run knows its rows without it
    for source, count in (
        ("renamed.npy", "48 of 60"),
        ("table.csv", "48 of 60"),
        ("single.npy", "48 of 60"),
        ("other.npy", "none of 5"),
        ("mine.npy", "none of 12"),
    ):
        done = pyro_vae("evaluate", "runs/normal", "--data", source)
        sentence = (
            f"rows of {source}; {count} equal rows that the model was fitted to\n"
        )
        assert sentence in done.out
        assert "held-out" not in done.out
    (home / "runs/normal/rows.npz").unlink()
    done = pyro_vae("evaluate", "runs/normal", "--data", "table.csv")
    assert (
        "rows of table.csv; whether the model was fitted to some of them is unknown: the run has "
        "no rows.npz with the hashes of its rows\n" in done.out
    )


def test_rows_that_are_new_to_the_model_have_a_line_of_their_own() -> None:
    """All 60 rows are evaluated, and the mean of the 12 others is that of the run."""
    assert_done(pyro_vae("fit", "normal.npy", *SMALL))
    done = pyro_vae(
        "evaluate", "runs/normal", "--data", "normal.npy", "--output", "ev.csv"
    )
    found = metrics("runs/normal")
    line = (
        "  log p(x) of the 12 rows that the model wasn't fitted to: "
        f"{found['log_marginal']:.2f} ± {found['log_marginal_se']:.2f} nats per row\n"
    )
    assert line in done.out
    table = pd.read_csv("ev.csv")
    own = pd.read_csv("runs/normal/evidence.csv")
    assert table["row"].tolist() == [*range(60)]
    assert table.loc[table["fitted"] == 0, "row"].tolist() == own["row"].tolist()
    new = table.loc[table["fitted"] == 0, "log_marginal"].to_numpy()
    # the rounding of float32 depends on the size of a batch
    np.testing.assert_allclose(new, own["log_marginal"].to_numpy(), rtol=1e-7)
    result = pyro_vae("evaluate", "runs/normal", "--data", "normal.npy", "--json").json
    assert result["fitted_rows"] == 48


def test_lines_of_evidence_have_the_numbers_of_their_rows() -> None:
    """Of 60 rows 12 are held out, and 5 of these are evaluated."""
    assert_done(pyro_vae("fit", "normal.npy", *SMALL, "--set", "evaluate.rows=5"))
    table = pd.read_csv("runs/normal/evidence.csv")
    rows = np.load("normal.npy")[table["row"]]
    assert len(rows) == 5
    expected = pv.evidence(pv.load("runs/normal"), rows, num_particles=20)
    np.testing.assert_allclose(table["log_marginal"], expected.log_marginal, rtol=1e-12)
    done = pyro_vae("evaluate", "runs/normal", "--output", "again.csv")
    assert_done(done)
    assert (
        Path("again.csv").read_bytes() == Path("runs/normal/evidence.csv").read_bytes()
    )


def test_an_array_of_several_is_named() -> None:
    assert_done(pyro_vae("fit", "several.npz", *SMALL, "--set", "data.array=first"))
    second = ("--data", "several.npz", "--set", "data.array=second")
    codes = pyro_vae("encode", "runs/several", *second, "--output", "c.npy")
    assert codes.out == "c.npy: loc (5, 2)\n"


def test_an_autoencoder_compresses_only() -> None:
    done = pyro_vae("fit", "grey.npy", *SMALL, *AUTOENCODER)
    assert_done(done)
    assert names("runs/grey") == MODEL | (TABLES - {"evidence.csv"}) | (
        PICTURES - {"samples.png"}
    )
    found = metrics("runs/grey")
    assert set(found) == {"rows", "latent_dim", "active_units", "unexplained_variance"}
    assert (
        f"reconstruction      {found['unexplained_variance']:10.1%} of a column's variance is left"
        in done.out
    )
    assert "log p(x)" not in done.out
    evaluated = pyro_vae("evaluate", "runs/grey", "--json")
    assert evaluated.json["metrics"] == found
    for arguments in (
        ("sample", "runs/grey", "--output", "x.npy"),
        ("evaluate", "runs/grey", "--output", "x.csv"),
    ):
        refused = pyro_vae(*arguments)
        assert refused.status == 2
        assert "autoencoder" in refused.err
    assert not list(Path().glob("x.*"))


def test_one_row_held_out_has_no_standard_error() -> None:
    done = pyro_vae("fit", "normal.npy", *SMALL, "--set", "data.test=1", "--json")
    assert_done(done)
    assert done.json["metrics"] == metrics("runs/normal")
    assert done.json["metrics"]["log_marginal_se"] is None


def write_table(names: list[str]) -> None:
    rows = np.random.default_rng(0).integers(0, 9, size=(60, len(names)))
    np.savetxt(
        "named.csv", rows, delimiter=",", header=",".join(names), comments="", fmt="%d"
    )


def test_named_pixels_are_an_image_where_its_shape_is_given() -> None:
    """Kaggle's digit recognizer: pixel0, pixel1, ..."""
    write_table([f"pixel{i}" for i in range(16)])
    conv = [
        word for name in ("encoder", "decoder") for word in ("--set", f"{name}=conv")
    ]
    assert_done(
        pyro_vae("fit", "named.csv", *SMALL, "--set", "data_shape=[1,4,4]", *conv)
    )
    assert names("runs/named") == MODEL | TABLES | PICTURES
    tree = az.from_netcdf("runs/named/posterior.nc")
    assert tree["observed_data"]["x"].dims == (
        "observation",
        "feature_0",
        "feature_1",
        "feature_2",
    )
    tree.close()


def test_columns_without_names_of_their_own_get_some_before_the_fit() -> None:
    write_table(["a", "a", "", "a (2)", "column 2"])
    done = pyro_vae("fit", "named.csv", *SMALL)
    assert done.status == 0
    assert (
        "4 of 5 columns have no name or that of another, and are called 'a (2)', 'column 2', "
        "'a (2) (2)', 'column 2 (2)'\n"
    ) in done.out
    tree = az.from_netcdf("runs/named/posterior.nc")
    found = tree["observed_data"]["x"]["feature"].values.tolist()
    assert found == ["a", "a (2)", "column 2", "a (2) (2)", "column 2 (2)"]
    tree.close()


def test_a_description_from_windows_is_read(home: Path) -> None:
    """A BOM is no statement of TOML, and no value of JSON."""
    for name, text in {
        "bom.toml": 'data = "normal.npy"',
        "bom.json": '{"data": "normal.npy"}',
    }.items():
        (home / name).write_text(text, encoding="utf-8-sig")
        assert_done(pyro_vae("fit", name, *SMALL, "--overwrite"))


@pytest.mark.slow
def test_the_home_folder_is_found(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell leaves the ~ in --output=~/x."""
    monkeypatch.setenv("HOME", str(home / "me"))
    (home / "me").mkdir()
    shutil.copy("normal.npy", "me/rows.npy")
    assert_done(pyro_vae("fit", "--output=~/run", "--data=~/rows.npy", *SMALL))
    assert names("me/run") >= MODEL
    assert_done(pyro_vae("evaluate", "~/run", "--output=~/rows.csv"))
    assert_done(pyro_vae("sample", "~/run", "--output=~/x.npz"))
    rows = ("--data=~/rows.npy", "--reference=~/rows.npy")
    assert_done(pyro_vae("anomaly", "~/run", *rows, "--output=~/a.csv"))
    (home / "me/spec.toml").write_text(SPEC.replace("normal.npy", "~/rows.npy"))
    assert_done(pyro_vae("fit", "~/spec.toml", "--output=~/second"))
    pv.run("~/spec.toml", "~/third")
    assert_done(pyro_vae("compare", "~/run", "~/second", "~/third"))
    written = {"run", "second", "third", "rows.npy", "rows.csv", "x.npz", "a.csv"}
    assert names("me") == written | {"spec.toml"}
    assert not Path("~").exists()


# Replacing a run


def test_overwrite_leaves_nothing_of_the_former_run(home: Path) -> None:
    assert_done(pyro_vae("fit", "grey.npy", *SMALL))
    (home / "runs/grey/mine.txt").write_text("a note")
    done = pyro_vae("fit", "grey.npy", *SMALL, *AUTOENCODER, "--overwrite")
    assert_done(done)
    without = {"evidence.csv", "samples.png"}
    assert names("runs/grey") == (MODEL | TABLES | PICTURES | {"mine.txt"}) - without
    assert "mine.txt" not in done.out
    assert spec("runs/grey")["guide"]["kind"] == "delta"


def test_files_of_others_are_not_replaced_unasked(home: Path) -> None:
    (home / "mine").mkdir()
    (home / "mine/metrics.json").write_text("a year of work")
    done = pyro_vae("fit", "normal.npy", *SMALL, "--output", "mine")
    assert done.status == 2
    assert (
        "mine: holds metrics.json; choose another folder, or overwrite them (--overwrite)"
        in done.err
    )
    assert contents(home / "mine") == {"metrics.json": b"a year of work"}


# Grey rows as bits


@pytest.mark.parametrize("kind", ["levels", "bytes"])
def test_grey_rows_are_fitted_as_bits_and_evaluated_as_the_same_ones(
    kind: str, home: Path
) -> None:
    grey = np.load(home / "grey.npy")
    np.save(
        home / "grey.npy", grey if kind == "levels" else (255 * grey).astype(np.uint8)
    )
    refused = pyro_vae("fit", "grey.npy", *SMALL, "--set", "likelihood=bernoulli")
    assert (refused.status, "binarize='dynamic'" in refused.err) == (2, True)
    done = assert_done(
        pyro_vae("fit", "grey.npy", *SMALL, "--set", "fit.binarize=dynamic", "--json")
    )
    assert pv.load("runs/grey").spec.likelihood.kind == "bernoulli"
    again = assert_done(pyro_vae("evaluate", "runs/grey", "--json"))
    assert again.json["metrics"]["log_marginal"] == done.json["metrics"]["log_marginal"]
    assert_done(pyro_vae("evaluate", "runs/grey", "--data", "grey.npy"))
    reconstructed = assert_done(
        pyro_vae("reconstruct", "runs/grey", "--output", "again.npy")
    )
    assert "again.npy" in reconstructed.out


# Interrupted


def interrupt_at(
    monkeypatch: pytest.MonkeyPatch, module: str, name: str, call: int
) -> None:
    """Press Ctrl-C in the call of that number of a function."""
    target = importlib.import_module(module)
    function, calls = getattr(target, name), iter(range(1, 1000))

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == call:
            raise KeyboardInterrupt
        return function(*args, **kwargs)

    monkeypatch.setattr(target, name, interrupted)


def test_interrupted_training_keeps_the_best_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    interrupt_at(
        monkeypatch, "pyro_vae.training.step_choice", "steps", 2
    )  # 48 rows are one step an epoch
    done = pyro_vae(
        "fit", "spec.toml", "--set", "fit.epochs=5", "--set", "fit.compile=off"
    )
    assert done.status == 130
    assert (
        done.err
        == "pyro-vae: fit: interrupted after 1 of 5 epochs; the weights are those of epoch 1\n"
    )
    assert "trained 1 epoch in " in done.out
    assert "the weights of epoch 1 are saved in runs/normal" in done.out
    assert names("runs/normal") >= MODEL | TABLES


def test_interrupted_before_an_epoch_saves_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(home)
    interrupt_at(monkeypatch, "pyro_vae.training.step_choice", "steps", 1)
    done = pyro_vae(
        "fit", str(home / "spec.toml"), "--json", "--set", "fit.compile=off"
    )
    assert (done.status, done.out) == (130, "")
    assert done.err.endswith(
        "pyro-vae: interrupted before an epoch was finished; nothing is saved\n"
    )
    assert contents(home) == before


def test_interrupted_evaluation_keeps_the_model(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(monkeypatch, "pyro_vae.experiment.evaluation", "sharded_evidence", 1)
    done = pyro_vae("fit", str(home / "spec.toml"))
    assert (done.status, done.err) == (130, "pyro-vae: interrupted\n")
    assert "saved in runs/normal" in done.out
    assert names("runs/normal") == TRAINED
    assert pv.load("runs/normal").spec.latent_dim == 2


# Not written


def fail(*args: Any, **kwargs: Any) -> None:
    raise NO_SPACE


def broken(*args: Any, **kwargs: Any) -> None:
    raise RuntimeError("two\nlines")


def test_a_full_disk_leaves_the_model_and_no_half_of_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without its metrics a run hasn't ended well."""
    monkeypatch.setattr(run_folder, "write_json", fail)
    done = pyro_vae("fit", "spec.toml")
    assert (done.status, done.err) == (
        1,
        "pyro-vae: input/output: No space left on device\n",
    )
    assert names("runs") == {"normal"}
    assert names("runs/normal") == TRAINED - {"training.json"}


@pytest.mark.slow
@pytest.mark.parametrize("error", [fail, broken])
@pytest.mark.parametrize(
    ("function", "lost"),
    [
        ("learning_curve", ["history.png"]),
        ("latent_scatter", ["latent.png"]),
        ("marginals", ["samples.png"]),
        ("image_grid", ["samples.png"]),
        ("reconstructions", ["reconstructions.png"]),
        ("encode", ["latent.png"]),
        ("sample", ["samples.png"]),
        ("reconstruct", ["reconstructions.png"]),
        ("save_figure", ["history.png", "latent.png", "samples.png"]),
        ("to_arviz", ["posterior.nc"]),
        ("write_netcdf", ["posterior.nc"]),
        ("write_evidence", ["evidence.csv"]),
        ("write_rows", ["history.csv", "evidence.csv"]),
    ],
)
def test_what_cannot_be_written_costs_one_warning(
    function: str, lost: list[str], error: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All else is there, and the exit status is 0."""
    images = function in {"image_grid", "reconstructions", "reconstruct"}
    shape = ("--data", "grey.npy", "--set", "data_shape=[4,4]") if images else ()
    monkeypatch.setattr(run_folder, function, error)
    done = pyro_vae("fit", "spec.toml", *shape, "--output", "run")
    reason, remedy = "RuntimeError: two lines", ""
    if error is fail:
        reason = "No space left on device"
        remedy = "; make room, and continue it (--resume)"
    assert (done.status, done.err) == (
        0,
        f"pyro-vae: run: not written: {', '.join(lost)} ({reason}); all else is there{remedy}\n",
    )
    expected = MODEL | TABLES | PICTURES
    if error is fail:
        expected = expected - {"manifest.json"} | {"unfinished"}
    if not images:
        expected -= {"reconstructions.png"}
    assert names("run") == expected - set(lost)
    assert "files\n" in done.out
    assert not any(f"run/{name}" in done.out for name in lost)
    assert names(".") >= {"run"}
    assert not [name for name in names(".") if name.startswith(".run")]


def test_a_folder_in_the_way_of_a_file_is_found_before_training(home: Path) -> None:
    (home / "run/latent.png").mkdir(parents=True)
    done = pyro_vae("fit", "spec.toml", "--output", "run", "--overwrite")
    assert done.status == 2
    assert done.err == (
        "pyro-vae: run/latent.png: expected a file or nothing, got a folder; choose another "
        "folder\n"
    )


def test_a_full_disk_leaves_no_half_of_a_model(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_done(pyro_vae("fit", "spec.toml"))
    before = contents(home)
    monkeypatch.setattr(saving, "save_tensors", fail)
    for arguments, name in (
        (("--output", "runs/other"), "other"),
        (("--overwrite",), "normal"),
    ):
        done = pyro_vae("fit", "spec.toml", "--set", "seed=1", *arguments)
        assert (done.status, done.err) == (
            1,
            "pyro-vae: input/output: No space left on device\n",
        )
        # from which it can be saved later
        shutil.rmtree(home / f"runs/{name}/unfinished")
        assert contents(home) == before


@pytest.mark.parametrize(
    ("arguments", "function"),
    [
        (("sample", "runs/normal", "--output", "x.npz"), "savez_compressed"),
        (("encode", "runs/normal", "--output", "x.npy"), "save"),
    ],
)
def test_a_full_disk_leaves_no_half_of_an_array(
    arguments: tuple[str, ...],
    function: str,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vae = pv.VAE(data_shape=(4,), latent_dim=2)
    write_model(vae, "runs/normal", run={"data": "normal.npy"})

    def half(stream: Any, *args: Any, **kwargs: Any) -> None:
        stream.write(b"half")
        raise NO_SPACE

    before = contents(home)
    monkeypatch.setattr(np, function, half)
    assert pyro_vae(*arguments).status == 1
    assert contents(home) == before
