"""A fault before any change of the file system costs no work: the same command goes on."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

import pyro_vae as pv
from tests.cli.command import write_data
from tests.faults.injector import Server, copies_of, serving

FIT = ("fit", "spec.toml", "--set", "fit.epochs=3")
EVALUATE = ("evaluate", "runs/normal", "--output", "rows.csv")
CLOCK = {"history.csv", "manifest.json", "posterior.nc"}
"""Files with seconds or dates in them."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as found:
        yield found


class States:
    """Folders in which a command starts: nothing done, killed in the training, a run, another.

    The description of a run has the path of its rows, so that all commands run in "home".
    """

    COMMANDS: ClassVar = {
        "new": ((), None),
        "done": (FIT, None),
        "another": ((*FIT, "--set", "seed=5"), None),
        "killed": (FIT, 60),
    }

    def __init__(self, above: Path, server: Server) -> None:
        self.above = above
        self.server = server
        self.home = above / "home"

    def __getitem__(self, name: str) -> Path:
        """Made when it is first asked for."""
        folder = self.above / name
        if folder.exists():
            return folder
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir()
        write_data(self.home)
        command, at = self.COMMANDS[name]
        if command:
            self.server(*command, home=self.home, at=at)
        shutil.move(self.home, folder)
        return folder


@pytest.fixture(scope="module")
def states(server: Server, tmp_path_factory: pytest.TempPathFactory) -> States:
    return States(tmp_path_factory.mktemp("states"), server)


COMMANDS = {
    "fit": ("new", (*FIT,), (*FIT, "--resume")),
    "resume": ("killed", (*FIT, "--resume"), (*FIT, "--resume")),
    "overwrite": ("another", (*FIT, "--overwrite"), (*FIT, "--overwrite", "--resume")),
    "evaluate": ("done", EVALUATE, EVALUATE),
}
"""Where a command starts, the command, and the one that goes on."""


def contents(folder: Path) -> dict[str, bytes | None]:
    """The files of a run, without those that no two runs share."""
    files = {path.name: path for path in folder.rglob("*")}
    return {
        name: None if name in CLOCK or path.is_dir() else path.read_bytes()
        for name, path in files.items()
    }


def is_one_line(text: str) -> bool:
    """Whether an error is one line, without a traceback."""
    return "Traceback" not in text and text.count("\npyro-vae: ") <= 2


def begin(name: str, states: States) -> None:
    """The folder in which a command starts, after the making of those that are asked for later."""
    begun, _ = states[COMMANDS[name][0]], states["done"]
    shutil.rmtree(states.home, ignore_errors=True)
    shutil.copytree(begun, states.home)


def go(name: str, at: int, fault: str, server: Server, states: States) -> None:
    """A command with a fault, and the one that goes on."""
    begin(name, states)
    ended = server(*COMMANDS[name][1], home=states.home, at=at, fault=fault)
    where = (name, at, fault, ended.text[-600:])
    assert is_one_line(ended.text), where
    expected = {"kill": {-9}, "terminate": {143, 0}, "full": {0, 1, 2}}[fault]
    assert ended.status in expected, where
    if ended.status == 143:
        assert "pyro-vae: ended by SIGTERM" in ended.text, where
    go_on(name, where, server, states)


def go_on(name: str, where: tuple[Any, ...], server: Server, states: States) -> None:
    """What a fault has left is a model or says what it is, and the next command ends the work."""
    done, home = states["done"], states.home
    require_a_model_or_a_sentence(home / "runs/normal")
    if name == "evaluate":
        assert contents(home / "runs/normal") == contents(done / "runs/normal"), where
    last = server(*COMMANDS[name][2], home=home)
    where = (*where, last.text[-600:])
    assert last.status == 0, where
    assert contents(home / "runs/normal") == contents(done / "runs/normal"), where
    left = {path.name for path in home.iterdir()}
    known = {path.name for path in done.iterdir()} | {"rows.csv"}
    assert {one for one in left if not one.startswith(".rows.csv")} <= known


def require_a_model_or_a_sentence(folder: Path) -> None:
    """A folder is loaded whole, or says what it is."""
    try:
        seed = pv.load(folder).spec.seed
    except ValueError as error:
        assert str(folder) in str(error)  # noqa: PT017
    else:
        assert seed in (0, 5)


QUICK = [("fit", 70, "kill"), ("fit", 115, "kill"), ("fit", 66, "terminate")]


@pytest.mark.parametrize(("name", "at", "fault"), QUICK)
def test_a_fault_costs_no_work(
    name: str,
    at: int,
    fault: str,
    server: Server,
    states: States,
) -> None:
    go(name, at, fault, server, states)


KILLS = {"fit": 1, "evaluate": 1, "resume": 4, "overwrite": 4}
"""How many changes there are from one kill to the next that is tried."""
REAL = 40
"""And from one that is not only what a copy shows to the next."""


@pytest.mark.slow
@pytest.mark.parametrize("name", KILLS)
def test_no_kill_costs_work(name: str, server: Server, states: States) -> None:
    """A folder that equals one that has been gone on from, as before and after fsync, is left."""
    copies = copies_of(states.home)
    begin(name, states)
    shutil.rmtree(copies, ignore_errors=True)
    whole = server(*COMMANDS[name][1], home=states.home, fault="copies")
    assert (whole.status, len([*copies.iterdir()])) == (0, whole.changes)
    cut = range(1, whole.changes + 1, KILLS[name])
    print(f"{name}, kill: {len(cut)} of {whole.changes} changes are cut")  # noqa: T201, shown by -s
    seen: list[dict[str, bytes | None]] = []
    for at in cut:
        if at % REAL == 1:
            go(name, at, "kill", server, states)
        left = everything(copies / str(at))
        if left in seen:
            continue
        seen.append(left)
        shutil.rmtree(states.home)
        (copies / str(at)).rename(states.home)
        go_on(name, (name, at, "a copy"), server, states)
    assert len(seen) > whole.changes / KILLS[name] / 4


@pytest.mark.slow
@pytest.mark.parametrize("at", [3, 70, 115])
def test_a_copy_is_what_a_kill_leaves(at: int, server: Server, states: States) -> None:
    begin("fit", states)
    shutil.rmtree(copies_of(states.home), ignore_errors=True)
    assert server(*FIT, home=states.home, fault="copies").status == 0
    copy = everything(copies_of(states.home) / str(at))
    begin("fit", states)
    assert server(*FIT, home=states.home, at=at).status == -9
    left = everything(states.home)
    assert left.keys() == copy.keys()
    of_one_run = [name for name in left if left[name] != copy[name]]
    assert {Path(name).name for name in of_one_run} <= {*CLOCK, *OF_ONE_RUN}


OF_ONE_RUN = {"run.lock", "checkpoint.safetensors"}
"""Files with the number of a process or with seconds in them."""


def everything(folder: Path) -> dict[str, bytes | None]:
    """All files below a folder with their bytes, and the folders; drafts have random names."""
    return {
        re.sub(r"\.draft-\w+", ".draft", str(path.relative_to(folder))): (
            path.read_bytes() if path.is_file() else None
        )
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["full", "terminate"])
def test_no_full_disk_and_no_signal_costs_work(
    fault: str, server: Server, states: States
) -> None:
    begin("fit", states)
    changes = server(*FIT, home=states.home).changes
    assert changes > 2
    cut = range(1, changes + 1, 5)
    print(f"fit, {fault}: {len(cut)} of {changes} changes are cut")  # noqa: T201, shown by -s
    for at in cut:
        go("fit", at, fault, server, states)
