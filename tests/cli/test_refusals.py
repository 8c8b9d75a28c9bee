"""Refused commands: one line on stderr with a remedy, exit status 2, nothing is written."""

import os
from pathlib import Path

import pytest

import pyro_vae as pv
from pyro_vae.saving import write_model
from tests.cli.command import contents, pyro_vae, write_data


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small data, and models `model` (of normal.npy), `autoencoder` and `bare` (without data)."""
    folder = tmp_path_factory.mktemp("home")
    write_data(folder)
    described = {"data": "normal.npy"}
    small = pv.VAE(data_shape=(4,), latent_dim=2, hidden_dims=(8,))
    write_model(small, folder / "model", run=described)
    autoencoder = pv.VAE(data_shape=(4,), latent_dim=2, prior="flat", guide="delta")
    write_model(autoencoder, folder / "autoencoder", run=described)
    pv.save(pv.VAE(data_shape=(4,), latent_dim=2), folder / "bare")
    (folder / "damaged.toml").write_text("latent_dim = = 3")
    (folder / "folder.csv").mkdir()
    (folder / "list.json").write_text("[1]")
    (folder / "claimed").mkdir()
    (folder / "claimed" / "run.lock").touch()
    (folder / "missing.toml").write_text('data = "nowhere.npy"')
    (folder / "words.csv").write_text(
        "a,b\n" + "".join(f"{i}.5,{i}\n" for i in range(20)) + "1.5,four\n"
    )
    (folder / "empty.npy").touch()
    (folder / "twice.json").write_text(
        '{"latent_dim": 2, "fit": {"epochs": 1, "lr": 1, "epochs": 2}}'
    )
    return folder


BAD_DESCRIPTIONS = {
    "fit --set prior=standard_norml": (
        "prior: unknown prior 'standard_norml'; allowed: .*'flat'.*; did you mean "
        "'standard_normal'?"
    ),
    "fit --set likelihood=poison": "likelihood: unknown likelihood 'poison'; allowed: 'bernoulli'",
    "fit --set guide.kind=mean_feild": (
        "guide: unknown guide 'mean_feild'; .* did you mean 'mean_field'"
    ),
    "fit --set encoder=cnn": "encoder: unknown network 'cnn'; allowed: 'mlp', 'gated_mlp'",
    "fit --set activation=silou": "unknown activation 'silou'; .* did you mean 'silu'",
    "fit --set prior=flat": (
        "prior 'flat' has no density, so guide 'full_rank' would spread .* expected guide 'delta'"
    ),
    "fit --set fit.average=0.9": "fit.average: this option is now called ema_decay$",
    "fit --set fit.annealing=3": "fit.annealing: .* is now called kl_warmup_epochs$",
    "fit --set prior={kind='flow',transform='maf'}": (
        "prior.flow.transform: transform 'maf' is now called 'autoregressive'$"
    ),
    "fit --set fit.epoch=3": (
        "fit.epoch: unknown field; allowed: 'epochs', .* did you mean 'epochs'"
    ),
    "fit --set epochs=3": r"epochs: unknown field; did you mean 'fit.epochs'\?",
    "fit --set num_particles=3": (
        r"num_particles: unknown field; did you mean 'fit.num_particles' or "
        r"'evaluate.num_particles'\?"
    ),
    "fit --set latentdim=3": (
        "latentdim: unknown field; allowed: 'data_shape', .* did you mean 'latent_dim'"
    ),
    "fit --set likelihood.total_cuont=16": (
        "likelihood.beta_binomial.total_cuont: unknown field; .* 'total_count'"
    ),
    "fit --set prior={kind='hierarchical',top_dim=2,top={kind='mixture',component=3}}": (
        "prior.hierarchical.top.mixture.component: unknown field; allowed: 'kind', "
        "'components'; did you mean 'components'"
    ),
    "fit --set fit.objective={kind='iwae',particles=3}": (
        "fit.objective.iwae.particles: unknown field; allowed: 'kind', 'num_particles', "
        ".*; did you mean 'num_particles'"
    ),
    "fit --set likelihood={kind='normal',scale='lerned'}": (
        "pyro-vae: likelihood.normal.scale: Input should be a valid number, unable to "
        "parse string as a number; or Input should be 'auto', 'learned', 'per_feature' or "
        "'decoder', got 'lerned'$"
    ),
    "fit --set prior=my_prior": (
        "unknown prior 'my_prior'; .*; one of your own. import its module first, or install"
    ),
    "fit --set fit.epochs=many": "fit.epochs: Input should be a valid integer",
    "fit --set fit.epochs=0": "fit.epochs: Input should be greater than 0",
    "fit --set latent_dim=-1": "latent_dim: Input should be greater than 0",
    "fit --set data.test=inf": "data.test: Input should be a finite number",
    "fit --set fit.optimizer=adamm": "optimizer: unknown 'adamm'; .* did you mean 'adam'",
    "fit --set fit.device=cuda:99": (
        "device: got 'cuda:99', and this machine has . GPUs; take 'auto'"
    ),
    "fit --set fit.device=abacus": "device: expected cpu, cuda, cuda:N or auto, got 'abacus'",
    "fit --set fit.epochs": "--set: expected A.B=C, got 'fit.epochs'",
    "fit --set =3": "--set: expected A.B=C, got '=3'",
    "fit --set fit.=3": "--set: expected A.B=C, got 'fit.=3'",
    "fit --set latent_dim.x=3": (
        "--set: expected a table at 'latent_dim' in 'latent_dim.x=3', got 32"
    ),
    "fit --set hidden_dims.0=3": "--set: expected a table at 'hidden_dims' in 'hidden_dims.0=3'",
    "fit damaged.toml": "damaged.toml: expected TOML, got: Invalid value",
    "fit list.json": "list.json: expected a table of fields, got list",
    "fit twice.json": (
        "twice.json: expected JSON, got: 'epochs' twice in one table; leave one of them out"
    ),
    "fit nowhere.toml": "nowhere.toml: the description can't be read: No such file or directory",
}
BAD_DATA = {
    "fit nowhere.npy": (
        'nowhere.npy: expected a file or the only bundled name, "digits", got neither; '
        "check the path"
    ),
    "fit missing.toml": "nowhere.npy: expected a file",
    "fit digit": 'digit: .* did you mean "digits"',
    "fit empty.npy": "empty.npy: expected data, got an empty file",
    "fit words.csv": "words.csv: column 'b': expected numbers, .* got 'four' in line 22",
    "fit several.npz": (
        "several.npz: expected one array .* pass --set data.array= with one of these names"
    ),
    "fit one.npy": (
        "data.test: expected to hold out at least 1 row of one.npy and to leave .* got 1 of 1 rows"
    ),
    "fit normal.npy --set data.test=60": "data.test: expected to hold out .* got 60 of 60 rows",
    "fit normal.npy --set data.test=0": "data.test: expected to hold out .* got 0 of 60 rows",
    "fit normal.npy --set data_shape=[3]": (
        r"normal.npy: expected rows of shape \(3,\), got \(4,\); pass --set data_shape=\[4\], or "
        r"give rows of shape \(3,\)"
    ),
    "fit model --data grey.npy": (
        r"grey.npy: expected rows of shape \(4,\), got \(16,\); pass --set data_shape=\[16\], or"
    ),
    "fit model --data grey.npy --set data_shape=[4,5]": (
        r"grey.npy: expected rows of shape \(4, 5\), got \(16,\); pass --set data_shape=\[16\], or"
    ),
    "fit normal.npy --set fit.validation=48": (
        "validation: expected fewer rows than the 48 of x, got 48"
    ),
    "fit broken.npy": (
        "broken.npy: expected finite numbers, got nan in row 53, column 2; pass --set "
        "missing=at_random, for which nan is a missing cell, or replace or drop such rows"
    ),
    "fit grey.npy --set likelihood=bernoulli": (
        r"grey.npy: expected values in the support \{0, 1\}, got 0\.\d+ in row 0, column 0; "
        r"binarize the data, or take likelihood 'continuous_bernoulli' .* or 'normal'"
    ),
    "fit normal.npy --set likelihood=poisson": (
        "normal.npy: expected values in the support of whole numbers of at least 0, got "
        "0.12573 in row 0, column 0; .*take likelihood 'gamma' .* or 'normal'"
    ),
    "fit normal.npy --set likelihood=gamma": (
        "normal.npy: expected values in the support of numbers above 0, got -0.132105 in "
        "row 0, column 1; .*'normal'"
    ),
    "fit normal.npy --set likelihood={kind='mixed',columns=[{columns='0:3',kind='normal'}]}": (
        "mixed: expected each of 4 columns in exactly one group, got missing: 3"
    ),
    "fit normal.npy --output spec.toml": "spec.toml: expected a folder to write to, got a file",
    "fit normal.npy --output spec.toml/run": (
        "spec.toml/run: can't be written: Not a directory .*spec.toml"
    ),
    "fit normal.npy --output /proc/run": (
        "/proc/run: can't be written: .*; choose another folder"
    ),
    "fit normal.npy --output model": (
        "model: holds another run; choose another folder, or overwrite it .--overwrite"
    ),
}
BAD_QUESTIONS = {
    "evaluate nowhere": (
        "nowhere: holds no saved model: spec.json can't be read .No such file or directory"
    ),
    "evaluate spec.toml": "spec.toml: holds no saved model",
    "evaluate bare": "bare: holds a model without a description of its data; pass --data",
    "evaluate model --data nowhere.npy": "nowhere.npy: expected a file",
    "evaluate model --data grey.npy": (
        r"grey.npy: expected rows of shape \(4,\), got \(16,\); pass rows of the model's shape"
    ),
    "evaluate model --data broken.npy": (
        "broken.npy: expected finite numbers, got nan in row 53, column 2"
    ),
    "evaluate model --set evaluate.num_particles=0": (
        "evaluate.num_particles: Input should be greater than 0"
    ),
    "evaluate model --set evaluate.particles=9": (
        "evaluate.particles: unknown field; .* did you mean 'num_particles'"
    ),
    "evaluate model --set latent_dim=3": (
        "--set: expected evaluate.NAME=VALUE for a fitted model, got 'latent_dim=3'"
    ),
    # data.test would bring rows that the model was fitted to
    "evaluate model --set data.test=0.9": "--set: expected evaluate.NAME=VALUE for a fitted model",
    "evaluate model --output rows.txt": "--output: expected a .csv file, got rows.txt",
    "evaluate model --output nowhere/rows.csv": (
        "--output: expected an existing folder, got nowhere; make"
    ),
    "evaluate model --output /proc/rows.csv": "--output: /proc/rows.csv: can't be written",
    "evaluate model --output folder.csv": (
        "--output: expected a file, got the folder folder.csv; name a file in it"
    ),
    "sample model --output /proc/x.npz": "--output: /proc/x.npz: can't be written",
    "encode model --output /proc/x.npz": "--output: /proc/x.npz: can't be written",
    "reconstruct model --output /proc/x.npz": "--output: /proc/x.npz: can't be written",
    "anomaly model --data normal.npy --output /proc/x.csv": "--output: /proc/x.csv: can't be",
    "anomaly model --data normal.npy --output spec.toml/x.csv": (
        "--output: expected an existing folder, got spec.toml"
    ),
    "evaluate model --data table.csv --output table.csv": (
        "--output: expected another file than --data, got table.csv for both; its rows would be"
    ),
    "anomaly model --data normal.npy --reference table.csv --output ./table.csv": (
        "--output: expected another file than --reference, got table.csv for both"
    ),
    "fit normal.npy --output claimed": (
        "claimed: another run writes to it .it has just started.; choose another folder, or wait "
        "for its end; if it was killed, delete claimed/run.lock"
    ),
    "evaluate autoencoder --output rows.csv": "log p.x. does not exist",
    "sample autoencoder --output x.npy": "sample: prior 'flat' has no density",
    "sample model -n 0 --output x.npy": "num_rows: expected at least 1, got 0",
    "sample model --output nowhere/x.npy": "--output: expected an existing folder",
    "encode model --output codes.json": (
        "--output: expected a .npz, .npy, .csv or .parquet file, got codes.json"
    ),
    "reconstruct bare --output x.npy": "bare: holds a model without a description of its data",
}


@pytest.mark.parametrize("line", [*BAD_DESCRIPTIONS, *BAD_DATA, *BAD_QUESTIONS])
def test_it_is_refused(line: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "/proc" in line and not Path("/proc").exists():
        pytest.skip("needs a folder in which nobody may write")
    monkeypatch.chdir(home)
    before = contents(home)
    done = pyro_vae(*line.split())
    message = (BAD_DESCRIPTIONS | BAD_DATA | BAD_QUESTIONS)[line]
    assert done.status == 2
    (complaint,) = done.err.splitlines()
    assert complaint.startswith("pyro-vae: ")
    with pytest.raises(ValueError, match=message):
        raise ValueError(complaint)
    assert contents(home) == before


def test_a_file_that_may_not_be_written_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder may be, but what is written there would have to replace it."""
    monkeypatch.chdir(home)
    may = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: may(path, mode) and "kept" not in str(path)
    )
    Path("kept.csv").touch(mode=0o444)
    Path("kept.npz").touch(mode=0o444)
    for line in (
        "evaluate model --output kept.csv",
        "anomaly model --data normal.npy --output kept.csv",
        "sample model --output kept.npz",
        "encode model --output kept.npz",
    ):
        done = pyro_vae(*line.split())
        name = line.split()[-1]
        assert (done.status, done.err) == (
            2,
            f"pyro-vae: --output: {name}: can't be written: Permission denied; choose another "
            f"name, or chmod u+w {name}\n",
        )
        assert Path(name).read_bytes() == b""


@pytest.mark.parametrize(
    "line",
    [
        "",
        "frob",
        "evaluate",
        "sample model",
        "fit --epochs 3",
        "fit a.npy b.npy",
        "sample model -n many --output x.npy",
    ],
)
def test_the_usage_is_shown_where_arguments_are_wrong(line: str) -> None:
    done = pyro_vae(*line.split())
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("usage: pyro-vae")
    assert "error: " in done.err


def test_each_wrong_field_has_a_line() -> None:
    done = pyro_vae(
        "fit", "--set", "latent_dim=0", "--set", "fit.lr=0", "--set", "data.tset=3"
    )
    assert done.status == 2
    lines = done.err.removeprefix("pyro-vae: ").splitlines()
    assert [line.strip().split(": ")[0] for line in lines] == [
        "latent_dim",
        "data.tset",
        "fit.lr",
    ]


def test_an_error_of_nobody_is_one_line_and_debug_shows_where(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pyro_vae.experiment.run.make_vae", lambda *args: 1 / 0)
    done = pyro_vae("fit")
    assert (done.status, done.err) == (
        1,
        "pyro-vae: ZeroDivisionError: division by zero; --debug shows where it is from\n",
    )
    with pytest.raises(ZeroDivisionError):
        pyro_vae("fit", "--debug")
