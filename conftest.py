"""What every test and doctest may count on: no window opens, no parameter outlives a test, no GPU
is needed.

And that no test reads or writes the folder that pytest was started from: each one runs in an empty
folder.

Nothing here imports torch at the top: `tests/analysis/bridge/test_arviz_objects.py` also runs where
there is none.
"""

import importlib
import os
import sys
import tempfile
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

import pytest

os.environ["MPLBACKEND"] = "Agg"
os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # the tensors are small: more threads only wait
os.environ["PYRO_VAE_GRAPHS"] = "off"  # tests count what is compiled

EMPTY, BEFORE = pytest.StashKey[Path](), pytest.StashKey[set[str]]()
CACHES = ("__pycache__", "build", "dist")


def pytest_configure(config: pytest.Config) -> None:
    """Make the empty folder of this process."""
    config.stash[EMPTY] = Path(tempfile.mkdtemp(prefix="pyro-vae-tests-")).resolve()


def _module_of(path: Path, config: pytest.Config) -> str | None:
    """`guides/x.py` -> `pyro_vae.guides.x`; None for a path outside `guides` and `analysis`."""
    beside = {*config.getini("testpaths")} - {"pyro_vae", "tests"}
    if not any(path.is_relative_to(config.rootpath / folder) for folder in beside):
        return None
    parts = path.relative_to(config.rootpath).with_suffix("").parts
    return ".".join(["pyro_vae", *(parts[:-1] if parts[-1] == "__init__" else parts)])


@pytest.hookimpl(tryfirst=True)
def pytest_collect_directory(
    path: Path, parent: pytest.Collector
) -> pytest.Collector | None:
    """Collect `guides/` as a plain folder: as a `pytest.Package` it is imported as `guides`."""
    if _module_of(path, parent.config) is None:
        return None
    return pytest.Dir.from_parent(parent, path=path)


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Take the doctests of `guides/x.py` from `pyro_vae.guides.x`, not from a module `guides.x`."""
    if isinstance(collector, pytest.Module):
        module = _module_of(collector.path, collector.config)
        if module is not None:
            collector.obj = importlib.import_module(module)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Go back, and remove it."""
    os.chdir(config.invocation_params.dir)
    if EMPTY in config.stash and config.stash[EMPTY].exists():
        _emptied_folder(config.stash[EMPTY])
        config.stash[EMPTY].rmdir()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Note what lies in the folder that pytest was started from."""
    session.config.stash[BEFORE] = _listing(session.config)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the session in which something was left there, or removed."""
    if hasattr(session.config, "workerinput"):
        return
    changed = _listing(session.config) ^ session.config.stash[BEFORE]
    if changed:
        reporter = session.config.pluginmanager.getplugin("terminalreporter")
        reporter.write_line(
            f"the tests changed the folder that they were started from: {sorted(changed)}",
            red=True,
        )
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave the folder that pytest was started from, and skip a `gpu` test where no CUDA device
    answers.
    """
    if _here() in {item.config.invocation_params.dir, None}:
        os.chdir(item.config.stash[EMPTY])
    if item.get_closest_marker("gpu"):
        torch = pytest.importorskip("torch")
        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")


def _here() -> Path | None:
    """The working folder; None where it was removed."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return None


def _listing(config: pytest.Config) -> set[str]:
    """Every file below the folder that pytest was started from, caches and builds left out."""
    start, found = config.invocation_params.dir, set()
    for folder, folders, names in os.walk(start):
        is_ours = start.is_relative_to(config.rootpath)
        kept = [
            name
            for name in folders
            if name not in CACHES and name[0] != "." and not name.endswith(".egg-info")
        ]
        folders[:] = kept if is_ours else []
        found |= {
            os.path.relpath(Path(folder, name), start)
            for name in names
            if name[0] != "."
        }
    return found


def _emptied_folder(folder: Path) -> list[str]:
    """Remove what lies in a folder, and name it."""
    found = sorted(
        folder.rglob("*"), reverse=True
    )  # what is inside a folder before the folder
    for path in found:
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    return [str(path.relative_to(folder)) for path in reversed(found)]


@pytest.fixture(autouse=True)
def _started_from(pytestconfig: pytest.Config) -> Iterator[None]:
    """Fail the test that leaves a file in its working folder, which is its user's: it takes
    `tmp_path` instead.
    """
    yield
    left = _emptied_folder(pytestconfig.stash[EMPTY])
    if left:
        pytest.fail(
            f"left in the folder that the tests are started from: {', '.join(left)}",
            pytrace=False,
        )


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Start each test from one state of the global generators, whatever ran before it."""
    for module, seed in {"torch": "manual_seed", "numpy": "random.seed"}.items():
        if module in sys.modules:
            attrgetter(seed)(sys.modules[module])(0)


def _emptied() -> list[str]:
    """Clear Pyro's global parameter store, if Pyro was imported, and name what was in it."""
    pyro = sys.modules.get("pyro")
    if pyro is None:
        return []
    store = pyro.get_param_store()
    names = sorted(store.keys())
    store.clear()
    return names


@pytest.fixture(autouse=True)
def _param_store(request: pytest.FixtureRequest) -> Iterator[None]:
    """Start from an empty parameter store, and fail the test that leaves something in it."""
    _emptied()
    yield
    left = _emptied()
    if left and not request.node.get_closest_marker("param_store"):
        pytest.fail(
            f"left in Pyro's global parameter store: {', '.join(left)}", pytrace=False
        )
