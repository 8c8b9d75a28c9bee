"""What is wrong with a description or a call, in words that name the field, what is allowed, and
what came.
"""

import difflib
import json
import re
from collections.abc import Collection, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

BRANCH = re.compile(
    r"constrained-\w+|literal\[.*\]|function-\w+\[.*\]|float|int|str|bool|tuple\[.*\]|list\[.*\]"
)
"""What pydantic puts into a place for one of several types of a field."""

OTHER_NAMES = {
    "bce": "bernoulli",
    "diagonal": "mean_field",
    "full_covariance": "full_rank",
    "gaussian": "normal",
    "gmm": "mixture",
    "iaf": "flow",
    "isotropic": "standard_normal",
    "logistic": "discretized_logistic",
    "maf": "flow",
    "mog": "mixture",
    "mse": "normal",
    "multiclass": "categorical",
    "nb": "negative_binomial",
    "nsf": "flow",
    "realnvp": "flow",
    "t": "student_t",
    "vampprior": "vamp",
    "zinb": "zero_inflated_negative_binomial",
    "zip": "zero_inflated_poisson",
}
"""What others call what is here under another name."""

RENAMED = {
    "annealing": "kl_warmup_epochs",
    "average": "ema_decay",
    "chains": "num_chains",
    "cycles": "kl_cycles",
    "draws": "num_samples",
    "float32_products": "matmul_precision",
    "n": "num_rows",
    "products": "precision ('full' or 'bf16-mixed')",
    "warmup": "warmup_steps",
}
"""Options that had other names before version 0.1.0."""


def new_name(former: str, allowed: Collection[str]) -> str | None:
    """What an option is called today, where it is among those that are allowed.

    Example:
        >>> new_name("average", ["ema_decay", "epochs"]), new_name("average", ["epochs"])
        ('ema_decay', None)
    """
    new = RENAMED.get(former, "")
    return new if new.split(" ")[0] in allowed else None


def nearest(word: str, allowed: list[str]) -> str:
    """The sentence about what is allowed: `allowed: 'a', 'b'; did you mean 'a'?`.

    Example:
        >>> nearest("bernouli", ["bernoulli", "normal"])
        "allowed: 'bernoulli', 'normal'; did you mean 'bernoulli'?"
        >>> nearest("nb", ["negative_binomial", "normal"])
        "allowed: 'negative_binomial', 'normal'; did you mean 'negative_binomial'?"
    """
    known = OTHER_NAMES.get(word.lower())
    close = [known] if known in allowed else difflib.get_close_matches(word, allowed, n=1)
    guess = f"; did you mean {close[0]!r}?" if close else ""
    return "allowed: " + ", ".join(map(repr, allowed)) + guess


def explain(error: ValidationError, model: Any) -> str:
    """What is wrong with a description of type `model`: one line a field, `path: problem`."""
    problems: dict[str, list[ErrorDetails]] = {}
    for found in error.errors():
        names = [str(name) for name in found["loc"] if BRANCH.fullmatch(str(name)) is None]
        problems.setdefault(".".join(names), []).append(found)
    lines = (f"{where}: {_problem(found, model)}" for where, found in problems.items())
    return "\n  ".join(line.removeprefix(": ") for line in lines)


def _problem(found: list[ErrorDetails], model: Any) -> str:
    """What is wrong with one field, which may have failed as each of several types."""
    said = "; or ".join(_sentence(one, model) for one in found)
    named = {"extra_forbidden", "missing", "value_error", "unknown_kind", "a_bool"}
    if named & {one["type"] for one in found}:
        return said
    return f"{said}, got {_shown(found[0]['input'])}"


def _sentence(found: ErrorDetails, model: Any) -> str:
    if found["type"] == "extra_forbidden":
        *table, name = found["loc"]
        new = new_name(str(name), _fields(_table_at(table, model)))
        if new is not None:
            return f"this option is now called {new}"
        return f"unknown field; {_allowed(found['loc'], model)}"
    if found["type"] == "missing":
        return _needed(found["loc"], model)
    return found["msg"].removeprefix("Value error, ")


def _needed(place: Sequence[Any], model: Any) -> str:
    """The sentence about an option that has no default, with an example of the whole table."""
    options = _table_at(place[:-1], model)
    if len(place) < 3 or options is None:
        return "needed, and not given"
    *outside, kind, name = place
    required = {key: field for key, field in options.model_fields.items() if field.is_required()}
    if not all(field.examples for field in required.values()):
        return f"{kind!r} needs {name}: give {{'kind': {kind!r}, {name!r}: ...}}"
    example = json.dumps(
        {"kind": kind} | {key: field.examples[0] for key, field in required.items()}
    )
    return f"{kind!r} needs {name}, for example {outside[-1]}={example}"


def _allowed(place: Sequence[Any], model: Any) -> str:
    """What the description has instead of the unknown field at `place`: the same name elsewhere, or
    names beside it.
    """
    *table, name = place
    if table:
        return nearest(name, _fields(_table_at(table, model)))
    fields = getattr(model, "model_fields", {})
    tables = [key for key, field in fields.items() if name in _fields(field.annotation)]
    if not tables:
        return nearest(name, list(fields))
    return "did you mean " + " or ".join(f"'{other}.{name}'" for other in tables) + "?"


def _fields(model: Any) -> list[str]:
    return list(getattr(model, "model_fields", {}))


def _table_at(place: Sequence[Any], model: Any) -> Any:
    """The class of the table at a place of a description: (), ("fit",), ("prior", "mixture")."""
    for name in (names := (name for name in place if not isinstance(name, int))):
        field = getattr(model, "model_fields", {}).get(name)
        if field is None:
            return None
        inside = (
            item
            for part in get_args(field.annotation)
            for item in getattr(part, "__metadata__", ())
        )
        registries = (getattr(item, "registry", None) for item in (*field.metadata, *inside))
        registry = next((found for found in registries if found is not None), None)
        model = (
            _described(field.annotation)
            if registry is None
            else registry.options(next(names, "custom"))
        )
    return model


def _described(annotation: Any) -> Any:
    """The table that a field holds, or one of several of."""
    tables = [kind for kind in (annotation, *get_args(annotation)) if hasattr(kind, "model_fields")]
    return tables[0] if tables else None


def _shown(value: Any) -> str:
    """What came, in few words."""
    if isinstance(value, BaseModel):
        return type(value).__name__
    text = repr(value)
    return text if len(text) <= 60 else f"{type(value).__name__} {text[:50]}..."
