"""The writing of a run's files: what fails doesn't cost the others."""

import errno
import textwrap
from collections.abc import Callable
from pathlib import Path

from pyro_vae.arguments import warn_caller
from pyro_vae.atomic_files import whole_files

OF_DISKS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
"""Errors after which a file can be written later, when the disk is another or has room."""


class Writing:
    """The writing of a run's files, one by one, each whole or not at all.

    A file that can't be written doesn't cost the others, nor the run: `warn` names all such files
    in one warning.

    Arguments:
        folder: where they are written.

    Attributes:
        failed: the reason for each file that could not be written.
        lacks_room: whether the disk was one, so that they can be written later.

    Example:
        >>> import tempfile
        >>> writing = Writing(Path(tempfile.mkdtemp()))
        >>> writing.attempt("note.txt", lambda path: path.write_text("done"))
        >>> writing.attempt("none.txt", lambda path: 1 / 0)
        >>> sorted(file.name for file in writing.folder.iterdir()), writing.failed
        (['note.txt'], {'none.txt': 'ZeroDivisionError: division by zero'})
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.failed: dict[str, str] = {}
        self.lacks_room = False

    def attempt(self, name: str, write: Callable[[Path], object]) -> None:
        """Write one file by a function of its path."""
        try:
            self.require(name, write)
        except Exception as error:  # a disk, a font, a name or an unusual model
            self.failed[name] = _reason(error)
            self.lacks_room |= getattr(error, "errno", None) in OF_DISKS

    def require(self, name: str, write: Callable[[Path], object]) -> None:
        """The same, where an error ends the run."""
        with whole_files(self.folder) as draft:
            write(draft / name)

    def warn(self) -> None:
        """Warn of the files that could not be written, if there are any."""
        reasons: dict[str, list[str]] = {}
        for name, reason in self.failed.items():
            reasons.setdefault(reason, []).append(name)
        parts = [f"{', '.join(names)} ({reason})" for reason, names in reasons.items()]
        remedy = ""
        if self.lacks_room:
            remedy = "; make room, and continue it (resume=True)"
        if parts:
            warn_caller(
                f"{self.folder}: not written: {'; '.join(parts)}; all else is there{remedy}"
            )


def _reason(error: Exception) -> str:
    """An error on one line, without the name of a temporary file."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return textwrap.shorten(f"{type(error).__name__}: {error}", 200)
