"""What a user installs: the wheel holds the whole package and nothing bare, and the sdist builds
the same wheel.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "pyro_vae"


def run(*command: str, cwd: Path, **env: str) -> str:
    """The output of a command that must succeed."""
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def build(kind: str, source: Path, out: Path) -> Path:
    """Build one distribution with the installed setuptools; return its file."""
    run(
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        f"--{kind}",
        "--outdir",
        str(out),
        cwd=source,
    )
    (made,) = out.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return made


def names(wheel: Path) -> set[str]:
    """The files in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the files that git tracks or would track, links kept as links."""
    copy = tmp_path_factory.mktemp("source")
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in filter(os.path.lexists, (ROOT / name for name in listed.split("\0") if name)):
        target = copy / name.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(name, target, follow_symlinks=False)
    return copy


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def unpacked_sdist(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build("sdist", source, place)) as archive:
        archive.extractall(place, filter="data")
    (folder,) = (path for path in place.iterdir() if path.is_dir())
    return folder


def on_disk() -> set[str]:
    """The package's files as they should be installed."""
    return {
        Path(place, name).relative_to(ROOT).as_posix()
        for place, _, found in os.walk(PACKAGE, followlinks=True)
        for name in found
        if name.endswith(".py") or name == "py.typed"
    }


def test_the_wheel_holds_the_package_and_nothing_bare(wheel):
    installed = {name for name in names(wheel) if ".dist-info/" not in name}
    assert installed == on_disk()
    assert {
        "pyro_vae/py.typed",
        "pyro_vae/guides/__init__.py",
        "pyro_vae/analysis/__init__.py",
    } <= installed
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names(wheel))


def test_the_sdist_holds_the_real_folders_once(unpacked_sdist):
    held = {path.relative_to(unpacked_sdist).as_posix() for path in unpacked_sdist.rglob("*")}
    assert {
        "guides/__init__.py",
        "analysis/__init__.py",
        "pyro_vae/py.typed",
        "README.md",
        "CHANGELOG.md",
    } <= held
    assert not {
        name for name in held if name.startswith(("pyro_vae/guides", "pyro_vae/analysis", "tests"))
    }


def test_the_sdist_builds_the_same_wheel(unpacked_sdist, wheel, tmp_path):
    assert names(build("wheel", unpacked_sdist, tmp_path)) == names(wheel)


def test_a_users_own_folders_do_not_hide_ours(wheel, tmp_path):
    site, home = tmp_path / "site", tmp_path / "home"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    for name in ("analysis", "guides"):
        (home / name).mkdir(parents=True)
        (home / name / "__init__.py").write_text(
            "raise RuntimeError('the user meant something else')\n"
        )
    code = "import pyro_vae.analysis.export.arviz_objects, pyro_vae.guides as g; print(g.__file__)"
    found = run(sys.executable, "-c", code, cwd=home, PYTHONPATH=str(site))
    assert Path(found.strip()).is_relative_to(site)
