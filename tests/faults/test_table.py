"""The table of docs/reliability.md: each fault, how often it was tried, and what came of it.

PYRO_VAE_TABLE=whole python -m pytest -m slow -s tests/faults/test_table.py
"""

import itertools
import json
import os
import resource
import shutil
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader, TensorDataset

import pyro_vae as pv
from pyro_vae.analysis.bridge.arviz_objects import to_datatree
from pyro_vae.analysis.bridge.netcdf import write_netcdf
from pyro_vae.checksums import content_sha256
from pyro_vae.data import load as load_rows
from pyro_vae.experiment.claim import claimed
from pyro_vae.saving import read_run, write_model
from pyro_vae.training.checkpoint import Checkpoint
from tests.cli.command import QUICK, pyro_vae, write_data
from tests.distributed.test_killed_processes import finished, killed, stopped
from tests.faults.injector import serving
from tests.faults.test_bit_flips import damaged
from tests.faults.test_faults import FIT, States, contents
from tests.faults.test_hostile_files import DATA, DESCRIPTIONS
from tests.training.small import X, same, small, weights, without_clock
from tests.training.test_checkpoint import WRONG
from tests.training.test_nonfinite import DIVERGING

FLIPS = 380
"""And 20 cuts: 1200 in weights, checkpoint and description together."""
Verdicts = Iterator[bool]
"""Whether each fault was told, or survived."""


def told(act: Callable[[], Any], longest: int = 2500) -> bool:
    """Whether something is refused in a sentence."""
    try:
        act()
    except (OSError, ValueError) as error:
        return 0 < len(str(error)) < longest
    return False


def after_the_training(home: Path) -> Verdicts:
    """A kill, Ctrl-C, SIGTERM or a full disk in the evaluation or while files are written."""
    with serving() as server:
        states = States(home / "states", server)
        states.above.mkdir()
        done, begun = states["done"], states["new"]
        shutil.copytree(begun, states.home)
        changes = server(*FIT, home=states.home).changes
        for fault in ("kill", "interrupt", "terminate", "full"):
            for at in np.linspace(0.5 * changes, changes - 1, 10).astype(int):
                shutil.rmtree(states.home)
                shutil.copytree(begun, states.home)
                server(*FIT, home=states.home, at=int(at), fault=fault)
                again = server(*FIT, "--resume", home=states.home)
                found = contents(states.home / "runs/normal")
                yield again.status == 0 and found == contents(done / "runs/normal")


def other_disks(home: Path) -> Verdicts:
    """A folder on another disk, a link to one, and a link to a folder that isn't there."""
    other = Path("/dev/shm") / f"pyro-vae-{os.getpid()}"
    other.mkdir()
    (home / "link").symlink_to(other / "b")
    (other / "b").mkdir()
    (home / "nowhere").symlink_to(home / "new")
    try:
        for folder in (other / "a", home / "link", home / "nowhere"):
            done = pyro_vae("fit", home / "spec.toml", "--output", folder)
            yield done.status == 0 and (folder / "manifest.json").exists()
    finally:
        shutil.rmtree(other)


def no_room(home: Path) -> Verdicts:
    """Disks with too little room, a folder where nobody may write, a file in the way."""
    usage = shutil.disk_usage(home)
    for free in (0, 1000, 100_000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                shutil, "disk_usage", lambda path, f=free: usage._replace(free=f)
            )
            done = pyro_vae("fit", home / "spec.toml", "--output", home / "full")
        yield done.status == 2 and "make room" in done.err and "trained" not in done.out
    (home / "file").touch()
    for folder in ("/proc/run", "/proc/deep/run", home / "file"):
        done = pyro_vae("fit", home / "spec.toml", "--output", folder)
        yield done.status == 2 and "trained" not in done.out


def full_at_the_tree(home: Path) -> Verdicts:
    """Files may have so many bytes, and the tree has more."""
    tree = to_datatree({"posterior": {"z": np.zeros((100, 5, 2))}})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in (0, 1, 100, 1000, 2000, 4000, 8000, 9000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield told(lambda: write_netcdf(tree, home / "tree.nc"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert not (home / "tree.nc").exists()


def flips_in_weights(home: Path) -> Verdicts:
    folder = write_model(small(), home / "model")
    file = folder / "model.safetensors"
    for one in damaged(file.read_bytes(), FLIPS):
        file.write_bytes(one)
        yield told(lambda: pv.load(folder))


def flips_in_descriptions(home: Path) -> Verdicts:
    """Of a model, and of what the run that made it was asked for."""
    run = {"data": "rows.csv", "fit": {"lr": 0.1}}
    folder = write_model(small(), home / "model", run=run)
    file = folder / "spec.json"
    before = read_run(folder)
    spec = pv.load(folder).spec
    for one in damaged(file.read_bytes(), FLIPS):
        file.write_bytes(one)
        try:
            found = pv.load(folder).spec, read_run(folder)
        except ValueError:
            yield True
        else:  # a flip in a space between the entries
            yield found == (spec, before)


def flips_in_a_checkpoint(home: Path) -> Verdicts:
    path = home / "checkpoint"
    pv.fit(small(), X, epochs=1, checkpoint=path, progress=False)
    read = Checkpoint(path, None)._load  # type: ignore[arg-type]
    text, tensors = read()
    for one in damaged(path.read_bytes(), FLIPS):
        path.write_bytes(one)
        try:
            found = read()
        except ValueError:
            yield True
        else:  # a flip in what isn't read, such as a space
            yield found[0] == text and same(found[1], tensors)


def other_rows(home: Path) -> Verdicts:
    """Another last row, another order, another validation row, other weights, another loader."""
    path = home / "rows"
    options: dict[str, Any] = {"epochs": 2, "checkpoint": path, "progress": False}
    last = X.copy()
    last[-1] += 1
    loaders = [
        DataLoader(TensorDataset(torch.from_numpy(rows)), batch_size=10)
        for rows in (X, X + 1)
    ]
    cases: list[tuple[Any, dict[str, Any], Any, dict[str, Any]]] = [
        (X, {}, last, {}),
        (X, {}, X[::-1].copy(), {}),
        (X, {"validation": X[:9]}, X, {"validation": last[-9:]}),
        (X, {"weights": np.ones(50)}, X, {"weights": np.arange(1.0, 51.0)}),
        (loaders[0], {"validation": None}, loaders[1], {"validation": None}),
    ]
    for x, more, other, others in cases:
        path.unlink(missing_ok=True)
        pv.fit(small(), x, **options, **more)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            is_refused = told(
                lambda o=other, m=others: pv.fit(small(), o, **options, **m)
            )
        yield is_refused or any("rows of x was" in str(one.message) for one in caught)


def wrong_metadata(home: Path) -> Verdicts:
    path = home / "metadata"
    pv.fit(small(), X, epochs=2, checkpoint=path, progress=False)
    with safe_open(path, "pt") as file:
        text = file.metadata()["pyro_vae"]
    tensors = load_file(path)
    for field, value in WRONG.items():
        changed = json.dumps({**json.loads(text), field: value})
        seal = content_sha256(tensors, changed)
        save_file(tensors, path, metadata={"pyro_vae": changed, "sha256": seal})
        yield told(
            lambda: pv.fit(small(), X, epochs=2, checkpoint=path, progress=False)
        )


def two_fits(home: Path) -> Verdicts:
    """During a run: again, with --overwrite, with --resume, with both, and by a link."""
    (home / "latest").symlink_to("run")
    flags = ((), ("--overwrite",), ("--resume",), ("--overwrite", "--resume"))
    with claimed(home / "run"):
        for more in flags:
            done = pyro_vae("fit", home / "spec.toml", "--output", home / "run", *more)
            yield done.status == 2 and "another run writes" in done.err
        done = pyro_vae("fit", home / "spec.toml", "--output", home / "latest")
        yield done.status == 2 and "another run writes" in done.err


def lost_processes(home: Path) -> Verdicts:
    """A process of two is killed or stopped: torchrun starts both again, and the bits are right."""
    whole = finished(home, "whole")
    for rank in (0, 1):
        yield killed(home, rank)[0] == whole
    yield stopped(home)[0] == whole


def hostile_data(home: Path) -> Verdicts:
    for name, (content, _) in DATA.items():
        (home / name).write_bytes(content)
        yield told(lambda n=name: load_rows(home / n))


def hostile_descriptions(home: Path) -> Verdicts:
    for name, (text, _) in DESCRIPTIONS.items():
        (home / name).write_text(text)
        done = pyro_vae("fit", home / name, "--output", home / "hostile", *QUICK)
        yield done.status == 2 and len(done.err) < 2100


def two_threads(home: Path) -> Verdicts:
    """Two fits at a time, each with the history that it has alone."""

    def history(seed: int) -> list[dict[str, float]]:
        run = pv.fit(small(seed=seed), X, epochs=3, seed=seed, progress=False)
        return without_clock(run.history)

    with ThreadPoolExecutor(2) as pool:
        for seed in range(20):
            together = [*pool.map(history, (seed, seed + 1))]
            yield together == [history(seed), history(seed + 1)]


def diverging_guides(home: Path) -> Verdicts:
    guides = DIVERGING.values()
    for fields, lr, seed in itertools.product(guides, (1e3, 1e4, 1e5, 1e6), range(2)):
        vae = small(**fields, seed=seed)
        options = {"optimizer": "sgd", "lr": lr, "epochs": 30, "progress": False}
        is_told = told(lambda v=vae, o=options: pv.fit(v, X, **o))  # type: ignore[arg-type]
        finite = all(bool(value.isfinite().all()) for value in weights(vae).values())
        yield is_told and finite


FAULTS: dict[str, Callable[[Path], Verdicts]] = {
    "kill, Ctrl-C, SIGTERM, full disk after the training": after_the_training,
    "folder on another disk, or a link to one": other_disks,
    "read-only folder, no room": no_room,
    "disk full during posterior.nc": full_at_the_tree,
    "bit flips and cuts in the weights": flips_in_weights,
    "bit flips and cuts in a checkpoint": flips_in_a_checkpoint,
    "bit flips and cuts in a description": flips_in_descriptions,
    "resumed with other rows": other_rows,
    "checkpoint with wrong, well-formed metadata": wrong_metadata,
    "second run into one folder": two_fits,
    "one of two processes killed or stopped": lost_processes,
    "two fits in two threads": two_threads,
    "hostile data files": hostile_data,
    "hostile descriptions": hostile_descriptions,
    "diverging guides": diverging_guides,
}


HAS_OWN_TESTS = {
    "one of two processes killed or stopped"  # tests/distributed/test_killed_processes.py
}
"""What is repeated only where the whole table is asked for."""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:fit. the sleep", "ignore:.*fork")
def test_the_table(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [f"{'fault':<54}{'tried':>6}{'told or survived':>18}{'lost':>6}"]
    lost = {}
    is_whole = os.environ.get("PYRO_VAE_TABLE") == "whole"
    for name, act in FAULTS.items():
        if name in HAS_OWN_TESTS and not is_whole:
            continue
        home = tmp_path / act.__name__
        home.mkdir()
        write_data(home)
        text = (home / "spec.toml").read_text()
        (home / "spec.toml").write_text(
            text.replace("normal.npy", f"{home}/normal.npy")
        )
        verdicts = list(act(home))
        fine = sum(verdicts)
        lost[name] = len(verdicts) - fine
        lines.append(f"{name:<54}{len(verdicts):>6}{fine:>18}{lost[name]:>6}")
    with capsys.disabled():
        print("\n" + "\n".join(lines))  # noqa: T201
    assert lost == dict.fromkeys(lost, 0)
    assert FAULTS.keys() - lost.keys() <= HAS_OWN_TESTS
