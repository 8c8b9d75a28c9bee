"""The scripts that measure the source count what they say, and run on this one."""

import ast
import sys
from pathlib import Path

from benchmarks.house import density, imports, opened, same_numbers
from benchmarks.house.sources import sources

TEXT = '''"""Two
lines."""

import math  # a comment

# another

LIMIT = 1
"""What a limit is."""


def both(a, b):
    """Documented."""
    first, second = (a, b) if a else (b, a)
    first, second = second, first
    if first:

        def inner():
            return math.inf

        return inner
    return [  # a third
        first,
    ]


def nothing(): ...
'''


def test_density_of_a_text_that_can_be_counted_by_hand() -> None:
    counts = density.Counts()
    counts.add(TEXT)
    code = [
        *("import math  # a comment", "LIMIT = 1", "def both(a, b):"),
        *("first, second = (a, b) if a else (b, a)", "first, second = second, first"),
        *("if first:", "def inner():", "return math.inf", "return inner"),
        *("return [  # a third", "first,", "]", "def nothing(): ..."),
    ]
    assert (counts.lines, counts.characters) == (len(code), sum(map(len, code)))
    assert counts.nodes == len([*ast.walk(ast.parse(TEXT))])
    assert (counts.comments, counts.ternaries, counts.tuples) == (3, 1, 1)
    assert (sorted(counts.bodies), counts.files, counts.long) == ([1, 1, 6], [27], 0)


def test_density_prints_a_row_for_each_package_and_the_total() -> None:
    rows = [line.split() for line in density.table(sources()).splitlines()]
    names = {row[0] for row in rows[1:]}
    assert {"pyro_vae", "pyro_vae.analysis", "pyro_vae.guides", "total"} <= names
    assert sum(int(row[1]) for row in rows[1:-1]) == int(rows[-1][1])


def test_floors_are_the_longest_way_down_and_circles_share_one() -> None:
    graph = {"a": set(), "b": {"a"}, "c": {"d", "b"}, "d": {"c"}, "e": {"a", "c"}}
    assert imports.circles(graph) == [{"c", "d"}]
    assert imports.floors(graph) == [["a"], ["b"], ["c", "d"], ["e"]]


def test_an_arrow_to_the_face_runs_back_up_from_what_the_face_imports() -> None:
    modules = {"p": {"p.low"}, "p.low": {"p"}, "p.high": {"p"}}
    places = {"p.low": "low", "p.high": "high"}
    assert imports.back_up(modules, places.get, "p") == ["p.low"]


def test_imports_of_ours_are_arrows_between_its_rooms() -> None:
    modules = imports.imported_modules(sources())
    rooms = imports.between(modules, imports.room)
    assert rooms["guides"] >= {"networks", "registry"}
    assert "analysis" in rooms["cli"]
    head, *_ = imports.report("rooms", modules, imports.room, imports.PACKAGE)
    assert head.startswith(f"rooms: {len(rooms)} on ")


def helper() -> list[int]:
    return [len("a") for _ in range(2)]


def caller() -> list[int]:
    return helper() + helper()


def test_calls_are_noted_once_with_their_depth() -> None:
    watch = opened.Watch([str(Path(__file__).resolve())])
    sys.setprofile(watch)
    caller()
    sys.setprofile(None)
    names = [name for _, name in watch.calls]
    depths = [*watch.calls.values()]
    assert names == ["caller", "helper"]
    assert depths[1] == depths[0] + 1


def test_stops_are_where_the_next_function_is_in_another_file() -> None:
    calls = {("a", "f"): 1, ("a", "g"): 2, ("b", "f"): 2, ("a", "h"): 3, ("c", "f"): 4}
    assert opened.stops(calls, 3) == ["a", "b", "a"]
    assert opened.stops(calls, 100) == ["a", "b", "a", "c"]


def test_the_numbers_are_the_same_twice() -> None:
    once, again = [*same_numbers.flows()], [*same_numbers.flows()]
    assert once == again
    assert len(dict(once)) == 36
    assert len({number for _, number in once}) > 30
