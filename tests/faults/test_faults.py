"""A fault before any change of the file system costs no work: the same command goes on."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

import pyro_vae as pv
from tests.cli.command import write_data
from tests.faults.injector import Server, serving

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


def go(name: str, at: int, fault: str, server: Server, states: States) -> None:
    """A command with a fault, and the one that goes on."""
    start, command, again = COMMANDS[name]
    done, home = states["done"], states.home
    begun = states[start]
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(begun, home)
    before = contents(home / "runs/normal")
    ended = server(*command, home=home, at=at, fault=fault)
    where = (name, at, fault, ended.text[-600:])
    assert is_one_line(ended.text), where
    expected = {"kill": {-9}, "terminate": {143, 0}, "full": {0, 1, 2}}[fault]
    assert ended.status in expected, where
    if ended.status == 143:
        assert "pyro-vae: ended by SIGTERM" in ended.text, where
    require_a_model_or_a_sentence(home / "runs/normal")
    if name == "evaluate":
        assert contents(home / "runs/normal") == before, where
    last = server(*again, home=home)
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


EVERY = [("fit", "kill", 1), ("evaluate", "kill", 1)]
SOME = [
    *(("resume", "kill", 4), ("overwrite", "kill", 4)),
    *(("fit", fault, 5) for fault in ("full", "terminate")),
]
"""Each command, its fault, and how many changes there are from one to the next that is tried."""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "fault", "stride"), [*EVERY, *SOME])
def test_no_fault_costs_work(
    name: str,
    fault: str,
    stride: int,
    server: Server,
    states: States,
    tmp_path: Path,
) -> None:
    start, command, _ = COMMANDS[name]
    shutil.copytree(states[start], tmp_path / "counted")
    changes = server(*command, home=tmp_path / "counted").changes
    assert changes > 2
    cut = range(1, changes + 1, stride)
    print(f"{name}, {fault}: {len(cut)} of {changes} changes are cut")  # noqa: T201, shown by -s
    for at in cut:
        go(name, at, fault, server, states)
