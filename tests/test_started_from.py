"""The guard of conftest.py: a test that reads or writes the folder it is started from fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OPTIONS = "--doctest-modules -p no:cacheprovider --import-mode=importlib"
SETTINGS = f"[tool.pytest.ini_options]\naddopts = '{OPTIONS}'\n"
BY_TWO = ("-p", "xdist", "-n", "2")
GOOD = """
def test_elsewhere(tmp_path):
    (tmp_path / "note.txt").write_text("mine")

def test_changes_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    open("note.txt", "w").close()
"""
BAD = {
    "writes": "def test_it():\n    open('left.txt', 'w').close()\n",
    "makes folders": "import os\ndef test_it():\n    os.makedirs('runs/digits')\n",
    "in a doctest": 'def f():\n    """\n    >>> open("left.txt", "w").close()\n    """\n',
    "in a fixture of the module": (
        "import pytest\n@pytest.fixture(scope='module')\ndef made():\n    open('left.txt', "
        "'w').close()\ndef test_it(made): pass\n"
    ),
    "reads": "def test_it():\n    open('there.txt').close()\n",
    "lists": "import os\ndef test_it():\n    assert 'there.txt' in os.listdir()\n",
    "by a whole path": (
        "from pathlib import Path\ndef test_it():\n    "
        "Path(__file__).with_name('left.txt').write_text('')\n"
    ),
    "in a subprocess": "import os\ndef test_it():\n    os.system('echo left > left.txt')\n",
}


def run(folder: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Pytest, started in a folder with one test file and the guard."""
    (folder / "conftest.py").write_text(
        (ROOT / "conftest.py").read_text(encoding="utf-8"), encoding="utf-8"
    )
    (folder / "pyproject.toml").write_text(SETTINGS)
    (folder / "there.txt").touch()
    (folder / "test_one.py").write_text(text)
    command = [sys.executable, "-B", "-m", "pytest", *options]
    return subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": "",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # most take longer than the tests
        },
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD)
def test_it_fails(name: str, tmp_path: Path) -> None:
    done = run(tmp_path, BAD[name])
    assert done.returncode == 1, done.stdout
    if name in {
        "writes",
        "makes folders",
        "in a doctest",
        "in a fixture of the module",
        "in a subprocess",
    }:
        assert "left in the folder that the tests are started from" in done.stdout
        assert {path.name for path in tmp_path.iterdir()} == {
            "conftest.py",
            "pyproject.toml",
            "there.txt",
            "test_one.py",
        }


@pytest.mark.slow
def test_in_several_processes(tmp_path: Path) -> None:
    assert run(tmp_path, BAD["writes"] + GOOD, *BY_TWO).returncode == 1
    assert run(tmp_path, BAD["by a whole path"] + GOOD, *BY_TWO).returncode == 1
    (tmp_path / "left.txt").unlink()
    assert run(tmp_path, GOOD, *BY_TWO).returncode == 0


def test_other_tests_pass(tmp_path: Path) -> None:
    assert run(tmp_path, GOOD).returncode == 0
