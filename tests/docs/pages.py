"""The pages of the documentation as programs.

    python -m tests.docs.pages docs/tutorial.md docs/images

runs the code of a page in a folder, where it writes its pictures, and puts what each block prints
into the block of text that follows it.
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

_FOLLOWED = re.compile(
    r"^```python\n(.*?)^```\n(?:\n```text\n.*?^```\n)?", re.MULTILINE | re.DOTALL
)
_SMALLER = {
    "epochs": 1,
    "num_particles": 30,
    "num_rows": 4,
    "num_samples": 200,
    "temperatures": 5,
}


def blocks(page: Path, language: str = "python") -> list[str]:
    """The code blocks of a language, in order."""
    pattern = rf"^```{language}\n(.*?)^```$"
    return re.findall(
        pattern, page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def program(page: Path) -> str:
    """All Python of a page."""
    return "\n".join(blocks(page))


def small(code: str) -> str:
    """The same program with few epochs, draws and rows, to see that it runs."""
    for option, number in _SMALLER.items():
        code = re.sub(rf"\b{option}=[\d_]+", f"{option}={number}", code)
    return re.sub(r"\bx\[1400:\d*\]", "x[1400:1406]", code)


def run(code: str, name: str = "page") -> tuple[dict[str, Any], str]:
    """The names that a program leaves, and what it prints."""
    names: dict[str, Any] = {"__name__": name}
    return names, _printed(code, names)


def _printed(code: str, names: dict[str, Any]) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, names["__name__"], "exec"), names)
    return printed.getvalue()


def updated(text: str) -> str:
    """A page whose blocks of text hold what the blocks of Python before them print."""
    names: dict[str, Any] = {"__name__": "page"}

    def with_output(match: re.Match[str]) -> str:
        code = match.group(1)
        printed = _printed(code, names)
        output = f"\n```text\n{printed}```\n" if printed else ""
        return f"```python\n{code}```\n{output}"

    return _FOLLOWED.sub(with_output, text)


def main() -> None:
    page, folder = (Path(argument).resolve() for argument in sys.argv[1:])
    matplotlib.use("Agg")
    os.chdir(folder)
    page.write_text(updated(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
