"""The pages of the documentation as programs.

    python -m tests.docs.pages docs/tutorial.md docs/images

runs the code of a page in a folder, so that the pictures of the page are drawn there.
"""

import contextlib
import io
import os
import re
import sys
from pathlib import Path
from typing import Any

import matplotlib

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def blocks(page: Path, language: str = "python") -> list[str]:
    """The code blocks of a language, in order."""
    pattern = rf"^```{language}\n(.*?)^```$"
    return re.findall(pattern, page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def run(program: str, name: str = "page") -> tuple[dict[str, Any], str]:
    """The names that a program leaves, and what it prints."""
    names: dict[str, Any] = {"__name__": name}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(program, name, "exec"), names)
    return names, printed.getvalue()


def main() -> None:
    page, folder = (Path(argument).resolve() for argument in sys.argv[1:])
    matplotlib.use("Agg")
    os.chdir(folder)
    _, printed = run("\n".join(blocks(page)), page.name)
    sys.stdout.write(printed)


if __name__ == "__main__":
    main()
