"""What is wrong with a description, in words that name the field."""

import re
from collections.abc import Sequence
from typing import Any, get_args

from pydantic import ValidationError

from pyro_vae.experiment import Experiment
from pyro_vae.registry import Choice, nearest

BRANCH = re.compile(r"constrained-\w+|literal\[.*\]|function-\w+\[.*\]|float|int|str|bool|tuple\[.*\]|list\[.*\]")
"""What pydantic puts into a place for one of several types of a field."""


def explain(error: ValidationError) -> str:
    """What is wrong with a description, one line a field, `path: problem`; an unknown field with what is allowed."""
    problems: dict[str, list[str]] = {}
    for found in error.errors():
        unknown = found["type"] == "extra_forbidden" and error.title == Experiment.__name__
        problem = f"unknown field; {_allowed(found['loc'])}" if unknown else found["msg"]
        names = [str(name) for name in found["loc"] if BRANCH.fullmatch(str(name)) is None]
        problems.setdefault(".".join(names), []).append(problem.removeprefix("Value error, "))
    return "\n  ".join(f"{where}: {'; or '.join(said)}".removeprefix(": ") for where, said in problems.items())


def _allowed(place: Sequence[Any]) -> str:
    """What the description has instead of the unknown field at `place`: the same name elsewhere, or names beside it."""
    *table, name = place
    if table:
        return nearest(name, _fields(table))
    tables = [other for other in ("data", "fit", "evaluate") if name in _fields([other])]
    if not tables:
        return nearest(name, _fields([]))
    return "did you mean " + " or ".join(f"'{other}.{name}'" for other in tables) + "?"


def _fields(table: Sequence[Any]) -> list[str]:
    """The fields of a table of the description, by its place: (), ("fit",), ("prior", "mixture")."""
    model: Any = Experiment
    for name in (names := iter(table)):
        field = getattr(model, "model_fields", {}).get(name)
        if field is None:
            return []
        inside = (item for part in get_args(field.annotation) for item in getattr(part, "__metadata__", ()))
        choice = next((item for item in (*field.metadata, *inside) if isinstance(item, Choice)), None)
        model = choice.registry.options(next(names, "custom")) if choice else field.annotation
    return list(getattr(model, "model_fields", {}))
