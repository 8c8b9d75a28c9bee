"""Files that are written whole or not at all: under another name, and renamed when they are
complete.
"""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["require_permission", "whole_files", "written_whole"]


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name beside `path`, which takes that name only when the block ends without
    an error.

    Arguments:
        path: The file to write; one of that name is replaced, and stays as it was when the block
            fails.

    Returns:
        A context manager that gives the temporary name, in the same folder.

    Raises:
        FileNotFoundError: When the folder does not exist.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, written_whole(Path(folder) / "note.txt") as temporary:
        ...     _ = temporary.write_text("done")
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"{target}: expected an existing folder, got {target.parent}; make the folder first"
        )
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        temporary.chmod(_usual_mode(target.parent))
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_files(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary folder beside `folder`; what the block writes there moves into `folder` by
    renaming, all or nothing.

    Example:
        >>> home = Path(tempfile.mkdtemp())
        >>> with whole_files(home / "run") as draft:
        ...     _ = (draft / "note.txt").write_text("done")
        >>> (home / "run" / "note.txt").read_text()
        'done'
    """
    path = Path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    workshop = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    draft, former = workshop / "draft", workshop / "former"
    try:
        draft.mkdir()
        former.mkdir()
        yield draft
        mode = _usual_mode(workshop)
        for file in draft.iterdir():
            file.chmod(mode)
        if path.exists():
            _exchange(draft, path, former)
        else:
            os.replace(draft, path)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def require_permission(file: Path) -> None:
    """Raise ValueError where a file may not be read; libraries have other words for it, such as "no
    such file".
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


def _usual_mode(folder: Path) -> int:
    """The mode of a new file in a folder: that of the umask, which some writers (safetensors) don't
    keep to.
    """
    probe = folder / f".{uuid.uuid4().hex[:8]}.tmp"
    try:
        probe.touch()
        return probe.stat().st_mode & 0o777
    finally:
        probe.unlink(missing_ok=True)


def _exchange(draft: Path, path: Path, former: Path) -> None:
    """Move the files of `draft` into `path`, and the ones they replace to `former`; after a
    failure, all back again.
    """
    names = sorted(file.name for file in draft.iterdir())
    try:
        for name in names:
            if (path / name).exists():
                os.replace(path / name, former / name)
            os.replace(draft / name, path / name)
    except OSError:
        for name in names:
            if (former / name).exists():
                os.replace(former / name, path / name)
            elif not (draft / name).exists():
                (path / name).unlink()
        raise
