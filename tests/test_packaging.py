"""What is installed: the wheel has the whole package and nothing bare, as does the sdist's."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.work_tree import ROOT, copy_to

pytestmark = pytest.mark.slow

FOLDERS = {
    "pyro_vae": "pyro_vae",
    "analysis": "pyro_vae/analysis",
    "guides": "pyro_vae/guides",
}


def run(*command: str, cwd: Path, **env: str) -> str:
    """The output of a command that must succeed."""
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def build(kind: str, source: Path, out: Path) -> Path:
    """Build one distribution with the installed hatchling; return its file."""
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
    """A copy of the files that git tracks or would track."""
    copy = tmp_path_factory.mktemp("source")
    copy_to(copy)
    return copy


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def unpacked_sdist(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    unpacked = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build("sdist", source, unpacked)) as archive:
        archive.extractall(unpacked, filter="data")
    (folder,) = (path for path in unpacked.iterdir() if path.is_dir())
    return folder


def on_disk() -> set[str]:
    """The package's files as they should be installed."""
    return {
        (installed / path.relative_to(ROOT / folder)).as_posix()
        for folder, installed in ((folder, Path(to)) for folder, to in FOLDERS.items())
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".pyi"} or path.name == "py.typed"
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
    files = {
        path.relative_to(unpacked_sdist).as_posix()
        for path in unpacked_sdist.rglob("*")
    }
    assert {
        "guides/__init__.py",
        "analysis/__init__.py",
        "pyro_vae/py.typed",
        "README.md",
        "CHANGELOG.md",
    } <= files
    assert not {
        name
        for name in files
        if name.startswith(("pyro_vae/guides", "pyro_vae/analysis", "tests"))
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
    code = "import pyro_vae.analysis.bridge.arviz_objects, pyro_vae.guides as g; print(g.__file__)"
    found = run(sys.executable, "-c", code, cwd=home, PYTHONPATH=str(site))
    assert Path(found.strip()).is_relative_to(site)


def test_an_editable_install_is_the_checkout(source, tmp_path):
    code = "import sys, hatchling.build; print(hatchling.build.build_editable(sys.argv[1]))"
    made = run(sys.executable, "-c", code, str(tmp_path), cwd=source).split()[-1]
    site = tmp_path / "site"
    with zipfile.ZipFile(tmp_path / made) as archive:
        archive.extractall(site)
    (path_file,) = site.glob("*.pth")
    added = path_file.read_text(encoding="utf-8").strip()
    assert Path(added) == source
    # before the installed package, which this environment may have as well
    code = "import pyro_vae.guides as guides; print(guides.__file__)"
    found = run(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=added)
    assert Path(found.strip()) == source / "guides/__init__.py"
