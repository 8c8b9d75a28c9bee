"""Floors, arrows and circles of the import graph, between rooms and inside `analysis`.

    python -m benchmarks.house.imports

A room is a package of `pyro_vae`, or one of its modules that is in no package. An arrow says that a
file of one room imports from another, anywhere in the file, for types too. A room is on the floor
above the highest that it imports: the floors are the longest way down. A circle is a set of rooms
each of which reaches the others; they share a floor.

The face of the package, `pyro_vae/__init__.py`, passes on names of its modules and is in no room.
One of these modules that imports the face stands below it: such an arrow runs back up. So does one
from a file of `analysis` to its face.
"""

import ast
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

from benchmarks.house.sources import package_of, sources

PACKAGE = "pyro_vae"
ANALYSIS = "pyro_vae.analysis"
Graph = dict[str, set[str]]
Grouping = Callable[[str], str | None]
"""From a module to the room that it is in; None where it is in none, as a face."""


def statements(path: Path, package: str) -> Iterator[str]:
    """What a file imports, as dotted names: `from a import b` gives `a.b`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = parts[: len(parts) - node.level + 1] if node.level else []
            source = ".".join([*above, *filter(None, [node.module])])
            yield from (f"{source}.{alias.name}" for alias in node.names)


def imported_modules(files: Mapping[str, Path]) -> Graph:
    """From each module to those of ours that it imports."""
    graph: Graph = {}
    for module, path in files.items():
        names = statements(path, package_of(module, path))
        ours = {
            longest_module(name, files)
            for name in names
            if name.split(".")[0] == PACKAGE
        }
        graph[module] = ours - {module}
    return graph


def longest_module(name: str, files: Mapping[str, Path]) -> str:
    """The module that a dotted name is, or is in."""
    while name not in files:
        name = name.rpartition(".")[0]
    return name


def between(modules: Graph, group_of: Grouping) -> Graph:
    """The arrows between groups of modules, such as rooms."""
    graph: Graph = {}
    for module, targets in modules.items():
        here = group_of(module)
        if here is None:
            continue
        groups = {group_of(target) for target in targets}
        graph.setdefault(here, set()).update(
            group for group in groups if group is not None
        )
    return {group: targets - {group} for group, targets in graph.items()}


def back_up(modules: Graph, group_of: Grouping, face: str) -> list[str]:
    """The modules in a group that import the face which passes on their own names."""
    below = reach(modules, face)
    found = (
        module
        for module, targets in modules.items()
        if face in targets and module in below
    )
    return sorted(module for module in found if group_of(module))


def room(module: str) -> str | None:
    """`pyro_vae.guides.base` -> `guides`; the face of the whole package is in none."""
    parts = module.split(".")
    return None if len(parts) == 1 or parts[1] == "__main__" else parts[1]


def file_of_analysis(module: str) -> str | None:
    return (
        module.removeprefix(f"{ANALYSIS}.")
        if module.startswith(f"{ANALYSIS}.")
        else None
    )


def package_of_analysis(module: str) -> str | None:
    inside = file_of_analysis(module)
    return inside.split(".")[0] if inside else None


def circles(graph: Graph) -> list[set[str]]:
    """Sets of nodes each of which reaches the others."""
    reached = {node: reach(graph, node) for node in graph}
    around = {
        frozenset(one for one in reached[node] if node in reached[one])
        for node in graph
    }
    return [set(circle) for circle in around if circle]


def reach(graph: Graph, start: str) -> set[str]:
    """The nodes at the end of a way of one arrow or more."""
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph[waiting.pop()] - reached
        reached |= new
        waiting += new
    return reached


def floors(graph: Graph) -> list[list[str]]:
    """The nodes of each floor, from the lowest."""
    together = {node: circle for circle in circles(graph) for node in circle}

    @cache
    def floor(node: str) -> int:
        circle = together.get(node, {node})
        below = {target for one in circle for target in graph[one]} - circle
        return 1 + max(map(floor, below), default=0)

    numbers = range(1, 1 + max(map(floor, graph), default=0))
    return [
        sorted(node for node in graph if floor(node) == number) for number in numbers
    ]


def report(title: str, modules: Graph, group_of: Grouping, face: str) -> list[str]:
    """A line of numbers, then the circles, the arrows back up, and the floors from the highest."""
    graph = between(modules, group_of)
    rounds = circles(graph)
    levels = floors(graph)
    up = back_up(modules, group_of, face)
    arrows = sum(map(len, graph.values()))
    counts = f"{len(graph)} on {len(levels)} floors, {arrows} arrows"
    lines = [
        f"{title}: {counts}, {len(rounds)} circles, {len(up)} arrows back up to {face}"
    ]
    lines += [f"  circle: {', '.join(sorted(circle))}" for circle in rounds]
    lines += [f"  back up from {module}" for module in up]
    numbered = list(enumerate(levels, start=1))
    return lines + [
        f"  {number:>2}  {', '.join(level)}" for number, level in reversed(numbered)
    ]


def main() -> None:
    modules = imported_modules(sources())
    rooms = report("rooms", modules, room, PACKAGE)
    files = report("files of analysis", modules, file_of_analysis, ANALYSIS)
    packages = report("packages of analysis", modules, package_of_analysis, ANALYSIS)
    every = report(
        "all files", modules, lambda module: module if room(module) else None, PACKAGE
    )
    for lines in (rooms, files, packages, every[:1]):
        print("\n".join(lines), end="\n\n")


if __name__ == "__main__":
    main()
