"""Error messages for descriptions and calls: the field, what is allowed, and what was given."""

import difflib
import json
import re
from collections.abc import Collection, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

BRANCH = re.compile(
    r"constrained-\w+|literal\[.*\]|function-\w+\[.*\]|float|int|str|bool|tuple\[.*\]|list\[.*\]"
)
"""What pydantic adds to the location of an error for one of several types of a field."""

MOST_FIELDS = 6
LONGEST = 2000
"""Wrong fields that are explained, and characters of a message."""

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
    "ordered": "ordinal",
    "ordered_logistic": "ordinal",
    "realnvp": "flow",
    "t": "student_t",
    "vampprior": "vamp",
    "zinb": "zero_inflated_negative_binomial",
    "zip": "zero_inflated_poisson",
}
"""Names of kinds in other libraries, and the kind here."""

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
    """The names that are allowed, and the one that may be meant.

    Example:
        >>> nearest("bernouli", ["bernoulli", "normal"])
        "allowed: 'bernoulli', 'normal'; did you mean 'bernoulli'?"
        >>> nearest("nb", ["negative_binomial", "normal"])
        "allowed: 'negative_binomial', 'normal'; did you mean 'negative_binomial'?"
    """
    sentence = "allowed: " + ", ".join(map(repr, allowed))
    close = difflib.get_close_matches(word, allowed, n=1)
    known = OTHER_NAMES.get(word.lower())
    if known in allowed:
        close = [known]
    if close:
        sentence += f"; did you mean {close[0]!r}?"
    return sentence


def explain(error: ValidationError, model: Any) -> str:
    """What is wrong with a description of type `model`: one line a field, `path: problem`."""
    by_field: dict[str, list[ErrorDetails]] = {}
    for details in error.errors():
        names = [
            str(name) for name in details["loc"] if BRANCH.fullmatch(str(name)) is None
        ]
        by_field.setdefault(".".join(names), []).append(details)
    shown = list(by_field.items())[:MOST_FIELDS]
    lines = [f"{path[:100]}: {_problem(errors, model)}" for path, errors in shown]
    if len(by_field) > len(shown):
        lines.append(f"and {len(by_field) - len(shown)} fields more")
    return cut("\n  ".join(line.removeprefix(": ") for line in lines))


def cut(message: str) -> str:
    """A message of at most 2000 characters.

    Example:
        >>> len(cut("x" * 5000)), cut("short")
        (2000, 'short')
    """
    if len(message) <= LONGEST:
        return message
    end = f" ... ({len(message)} characters)"
    return message[: LONGEST - len(end)] + end


NAMES_THE_INPUT = {
    "extra_forbidden",
    "missing",
    "value_error",
    "unknown_kind",
    "a_bool",
}
"""The types of errors whose sentence needs no "got ..." after it."""


def _problem(errors: Sequence[ErrorDetails], model: Any) -> str:
    """What is wrong with one field, which may have failed as each of several types."""
    sentences = "; or ".join(_sentence(details, model) for details in errors)
    if NAMES_THE_INPUT & {details["type"] for details in errors}:
        return sentences
    return f"{sentences}, got {_shown(errors[0]['input'])}"


def _sentence(details: ErrorDetails, model: Any) -> str:
    location = details["loc"]
    if details["type"] == "extra_forbidden":
        *table, name = location
        new = new_name(str(name), _fields(_table_at(table, model)))
        if new is not None:
            return f"this option is now called {new}"
        return f"unknown field; {_allowed(location, model)}"
    if details["type"] == "missing":
        return _needed(location, model)
    return details["msg"].removeprefix("Value error, ")


def _needed(location: Sequence[Any], model: Any) -> str:
    """The sentence about an option that has no default, with an example of the whole table."""
    options = _table_at(location[:-1], model)
    if len(location) < 3 or options is None:
        return "needed, and not given"
    *outside, kind, name = location
    required = {
        key: field for key, field in options.model_fields.items() if field.is_required()
    }
    if not all(field.examples for field in required.values()):
        return f"{kind!r} needs {name}: give {{'kind': {kind!r}, {name!r}: ...}}"
    table = {
        "kind": kind,
        **{key: field.examples[0] for key, field in required.items()},
    }
    return f"{kind!r} needs {name}, for example {outside[-1]}={json.dumps(table)}"


def _allowed(location: Sequence[Any], model: Any) -> str:
    """The fields that may be meant: the same name in another table, or names beside it."""
    *table, name = location
    if table:
        return nearest(name, _fields(_table_at(table, model)))
    fields = getattr(model, "model_fields", {})
    tables = [key for key, field in fields.items() if name in _fields(field.annotation)]
    if not tables:
        return nearest(name, list(fields))
    meant = " or ".join(f"'{other}.{name}'" for other in tables)
    return f"did you mean {meant}?"


def _fields(model: Any) -> list[str]:
    return list(getattr(model, "model_fields", {}))


def _table_at(location: Sequence[Any], model: Any) -> Any:
    """The class of the table at a location: (), ("fit",), ("prior", "mixture")."""
    names = iter([name for name in location if not isinstance(name, int)])
    for name in names:
        field = getattr(model, "model_fields", {}).get(name)
        if field is None:
            return None
        registry = _registry_of(field)
        if registry is None:
            model = _table_of(field.annotation)
        else:
            model = registry.options(next(names, "custom"))
    return model


def _registry_of(field: FieldInfo) -> Any:
    """The registry of a field that is annotated by `Choice`, also inside a union."""
    annotations = [
        *field.metadata,
        *(item for part in get_args(field.annotation) for item in _metadata(part)),
    ]
    registries = (getattr(annotation, "registry", None) for annotation in annotations)
    return next((registry for registry in registries if registry is not None), None)


def _metadata(annotation: Any) -> tuple[Any, ...]:
    return getattr(annotation, "__metadata__", ())


def _table_of(annotation: Any) -> Any:
    """The description that a field holds; the first of a union."""
    tables = (
        kind
        for kind in (annotation, *get_args(annotation))
        if hasattr(kind, "model_fields")
    )
    return next(tables, None)


def _shown(value: Any) -> str:
    """A value in a message, shortened."""
    if isinstance(value, BaseModel):
        return type(value).__name__
    text = repr(value)
    return text if len(text) <= 60 else f"{type(value).__name__} {text[:50]}..."
