"""Files that are written whole or not at all: they are renamed when they are complete.

Their content reaches the disk before their name does, so that a power cut leaves no empty file
under the name either.
"""

import glob
import os
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = [
    "remove_drafts",
    "remove_drafts_of",
    "require_permission",
    "whole_files",
    "written_whole",
]

DRAFT = ".draft-"
"""What the names of temporary folders start with."""


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name beside `path`, which is renamed to it when the block ends.

    A new file has the mode that the umask asks for. A file that is replaced keeps its mode, as when
    it is opened for writing; it stays as it was where the block raises an error.

    Arguments:
        path: the file to write.

    Returns:
        A context manager that gives the temporary name, in the same folder.

    Raises:
        FileNotFoundError: the folder does not exist.

    Example:
        >>> home = Path(tempfile.mkdtemp())
        >>> with written_whole(home / "note.txt") as temporary:
        ...     _ = temporary.write_text("done")
        >>> (home / "note.txt").read_text()
        'done'
    """
    target = Path(os.path.expanduser(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"{target}: expected an existing folder, got {target.parent}; make the folder first"
        )
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        mode = _mode_for(target, temporary)
        yield temporary
        temporary.chmod(mode)
        _to_disk(temporary)
        os.replace(temporary, target)
        _names_to_disk(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_files(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary folder, whose files are moved to `folder` when the block ends.

    All of them are, or none. Their modes are those that `written_whole` gives. The temporary folder
    lies in `folder`, which may be on a disk of its own, or beside it where it doesn't exist yet.

    Arguments:
        folder: made where it doesn't exist.

    Returns:
        A context manager that gives the temporary folder.

    Example:
        >>> home = Path(tempfile.mkdtemp())
        >>> with whole_files(home / "run") as draft:
        ...     _ = (draft / "note.txt").write_text("done")
        >>> (home / "run" / "note.txt").read_text()
        'done'
    """
    path = Path(os.path.realpath(os.path.expanduser(folder)))
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix, home = (DRAFT, path) if path.exists() else (f".{path.name}-", path.parent)
    temporary = Path(tempfile.mkdtemp(prefix=prefix, dir=home))
    draft = temporary / "draft"
    former = temporary / "former"
    try:
        draft.mkdir()
        former.mkdir()
        yield draft
        for file in draft.iterdir():
            file.chmod(_mode_for(path / file.name, temporary / "new"))
            _to_disk(file)
        if path.exists():
            _exchange(draft, path, former)
        else:
            os.replace(draft, path)
        _names_to_disk(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_drafts(folder: Path) -> None:
    """Remove what killed writers have left of files that were to be moved to `folder`."""
    for left in folder.glob(f"{DRAFT}*"):
        shutil.rmtree(left, ignore_errors=True)


def remove_drafts_of(file: Path) -> None:
    """Remove what killed writers have left of a file that only one process writes."""
    number = "[0-9a-f]" * 8  # a name with a dot more is another file's
    for left in file.parent.glob(f".{glob.escape(file.name)}.{number}.tmp"):
        left.unlink(missing_ok=True)


def _names_to_disk(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where its disk can do that for folders."""
    with suppress(OSError):
        _to_disk(folder)


def _to_disk(path: Path) -> None:
    """Wait until a file is on the disk."""
    if os.name == "nt":  # which opens no folders, and files to write only
        return
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def require_permission(file: Path) -> None:
    """Raise ValueError where a file may not be read.

    Libraries call that something else, such as "no such file".
    """
    try:
        with file.open("rb"):
            pass
    except PermissionError as error:
        raise ValueError(
            f"{file}: no permission to read it; ask its owner for chmod a+r {file.name}"
        ) from error
    except OSError:  # missing, or a folder: the caller's error says so
        return


def _mode_for(target: Path, new: Path) -> int:
    """The mode of a file that is going to be written: its own, or that of a new file.

    Some writers don't keep to the umask: safetensors makes files for their owner only. So a file is
    made under the name `new`: reading the umask would change it, for all threads.
    """
    new.touch()
    return stat.S_IMODE((target if target.exists() else new).stat().st_mode)


def _exchange(draft: Path, path: Path, former: Path) -> None:
    """Move the files of `draft` into `path`; those that they replace are kept in `former`.

    Where that fails, all files are moved back. At no time is a name without a file.
    """
    names = sorted(file.name for file in draft.iterdir())
    try:
        for name in names:
            if (path / name).exists():
                _keep(path / name, former / name)
            os.replace(draft / name, path / name)
    except OSError:
        for name in names:
            if (former / name).exists():
                os.replace(former / name, path / name)
            elif not (draft / name).exists():
                (path / name).unlink()
        raise


def _keep(file: Path, kept: Path) -> None:
    """A second name for a file, or a copy on a disk that has no such links."""
    try:
        os.link(file, kept)
    except OSError:
        shutil.copy2(file, kept)
