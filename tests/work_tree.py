"""The work tree as others get it: a copy of the files that belong to git, and a clone of them."""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMMITTER = (
    "-c",
    "user.name=test",
    "-c",
    "user.email=test@localhost",
    "-c",
    "commit.gpgsign=0",
)


def git(*arguments: str, cwd: Path) -> str:
    """The output of a git command that must succeed."""
    done = subprocess.run(["git", *arguments], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def copy_to(folder: Path) -> None:
    """Copy the files that git tracks or would track, links as links."""
    listed = git(
        "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT
    )
    for name in listed.split("\0"):
        source = ROOT / name
        if name and os.path.lexists(source):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)


def clone_to(folder: Path, scratch: Path) -> None:
    """Clone the work tree as git does on Windows, where a symbolic link becomes a text file."""
    copy_to(scratch)
    git("init", "-q", cwd=scratch)
    git("add", "-A", cwd=scratch)
    git(*COMMITTER, "commit", "-q", "-m", "the work tree", cwd=scratch)
    git(
        "clone",
        "-q",
        "-c",
        "core.symlinks=false",
        str(scratch),
        str(folder),
        cwd=scratch,
    )
