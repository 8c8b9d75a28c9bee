"""How much a line holds: a table with a row for each package, and the total.

    python -m benchmarks.house.density                      # pyro_vae/, guides/ and analysis/
    python -m benchmarks.house.density PATH/TO/zuko         # another package, measured the same way

A code line is not blank, not only a comment, and not in a docstring. Over all files of a package:

    chars       characters of a code line without its indentation and trailing space, the mean
    nodes       nodes of the syntax tree, of every kind, over code lines
    comments    comments per 100 code lines, those at the end of a line too
    ternaries   expressions `a if b else c` per 100 code lines
    tuples      assignments of a tuple to a tuple (`a, b = c, d`) per 100 code lines
    > 100       lines of more than 100 characters, of any kind
    body        statements of a function, without its docstring and those of functions inside it:
                the median, the 90 % quantile, and the most
    file        lines of the longest file
"""

import ast
import io
import sys
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.house.sources import modules, package_of, sources

LONG = 100
Function = ast.FunctionDef | ast.AsyncFunctionDef
HEAD = (
    f"{'package':<40}{'lines':>7}{'chars':>7}{'nodes':>7}{'comments':>10}{'ternaries':>11}"
    f"{'tuples':>8}{f'> {LONG}':>7}{'body':>15}{'file':>6}"
)


@dataclass
class Counts:
    """What is counted in some files."""

    lines: int = 0
    characters: int = 0
    nodes: int = 0
    comments: int = 0
    ternaries: int = 0
    tuples: int = 0
    long: int = 0
    bodies: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Count a file."""
        tree = ast.parse(text)
        nodes = list(ast.walk(tree))
        every = text.splitlines()
        code = list(code_lines(every, docstring_lines(nodes)))
        self.lines += len(code)
        self.characters += sum(len(line.strip()) for line in code)
        self.nodes += len(nodes)
        self.comments += number_of_comments(text)
        self.ternaries += sum(isinstance(node, ast.IfExp) for node in nodes)
        self.tuples += sum(is_tuple_assignment(node) for node in nodes)
        self.long += sum(len(line) > LONG for line in every)
        self.bodies += [
            number_of_statements(node) for node in nodes if isinstance(node, Function)
        ]
        self.files.append(len(every))

    def row(self, name: str) -> str:
        """The row of the table."""
        if not self.lines:
            return f"{name:<40}{0:>7}"
        hundreds = self.lines / 100
        middle, many, most = np.quantile(self.bodies or [0], [0.5, 0.9, 1.0])
        body = f"{middle:.0f} / {many:.0f} / {most:.0f}"
        return (
            f"{name:<40}{self.lines:>7}{self.characters / self.lines:>7.1f}"
            f"{self.nodes / self.lines:>7.1f}{self.comments / hundreds:>10.2f}"
            f"{self.ternaries / hundreds:>11.2f}{self.tuples / hundreds:>8.2f}{self.long:>7}"
            f"{body:>15}{max(self.files):>6}"
        )


def code_lines(every: Iterable[str], skipped: set[int]) -> Iterator[str]:
    """The lines that are neither blank, nor only a comment, nor one of those skipped."""
    for number, line in enumerate(every, start=1):
        stripped = line.strip()
        if stripped and not stripped.startswith("#") and number not in skipped:
            yield line


def docstring_lines(nodes: Iterable[ast.AST]) -> set[int]:
    """The lines of all docstrings, and of strings below an attribute that document it."""
    found: set[int] = set()
    for node in nodes:
        value = getattr(getattr(node, "value", None), "value", None)
        if isinstance(node, ast.Expr) and isinstance(value, str):
            found |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return found


def number_of_comments(text: str) -> int:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return sum(token.type == tokenize.COMMENT for token in tokens)


def is_tuple_assignment(node: ast.AST) -> bool:
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Tuple):
        return False
    return any(isinstance(target, ast.Tuple) for target in node.targets)


def number_of_statements(function: Function) -> int:
    """Statements of a body at any depth; a function or class inside it counts as one."""
    documented = ast.get_docstring(function, clean=False) is not None
    waiting: list[ast.AST] = [*function.body[documented:]]
    count = 0
    while waiting:
        node = waiting.pop()
        count += isinstance(node, ast.stmt)
        if not isinstance(node, Function | ast.ClassDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    return count


def table(files: dict[str, Path]) -> str:
    """A row for each package, by name, and the total."""
    packages: defaultdict[str, Counts] = defaultdict(Counts)
    total = Counts()
    for module, path in files.items():
        text = path.read_text(encoding="utf-8")
        packages[package_of(module, path)].add(text)
        total.add(text)
    rows = [counts.row(name) for name, counts in sorted(packages.items())]
    return "\n".join([HEAD, *rows, total.row("total")])


def main() -> None:
    folders = [Path(argument) for argument in sys.argv[1:]]
    if not folders:
        print(table(sources()))
    for folder in folders:
        print(table(modules(folder, folder.name)))


if __name__ == "__main__":
    main()
