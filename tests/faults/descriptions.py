"""Random models, rows and options of `fit`: some that suit each other, others that can't."""

from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

import numpy as np
from hypothesis import strategies as st
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pyro_vae.guides.base import GUIDES
from pyro_vae.likelihoods.base import LIKELIHOODS
from pyro_vae.networks.base import NETWORKS
from pyro_vae.objectives.base import OBJECTIVES
from pyro_vae.priors.base import PRIORS
from pyro_vae.registry import Registry
from pyro_vae.training.options import OPTIMIZERS
from tests.likelihoods.families import CASES

WRONG: st.SearchStrategy[Any] = st.sampled_from(
    [
        -1,
        0,
        0.5,
        1e30,
        1e-30,
        float("nan"),
        float("inf"),
        "",
        "none",
        None,
        True,
        [],
        [1],
        {},
    ]
)
SHAPES = [(1,), (2,), (3,), (5,), (2, 3), (1, 4, 4), (3, 4, 4)]
CELLS: dict[str, Any] = {
    "normal": lambda rng, size: rng.normal(size=size),
    "far": lambda rng, size: 1e3 + 1e-2 * rng.normal(size=size),
    "tails": lambda rng, size: rng.standard_cauchy(size) ** 3,
    "positive": lambda rng, size: rng.lognormal(size=size),
    "unit": lambda rng, size: rng.uniform(0.01, 0.99, size),
    "bits": lambda rng, size: rng.integers(0, 2, size),
    "counts": lambda rng, size: rng.poisson(2.0, size),
    "levels": lambda rng, size: rng.integers(0, 3, size),
    "constant": lambda rng, size: np.full(size, 2.0),
    "zero": lambda rng, size: np.zeros(size),
    "signed": lambda rng, size: rng.integers(-3, 4, size),
}
SPECIAL: dict[str, st.SearchStrategy[Any]] = {
    "name": st.sampled_from(["Gumbel", "Normal", "LogNormal", "Poisson", "HalfNormal"]),
    "columns": st.sampled_from(
        [
            ({"columns": "0:2", "kind": "normal"}, {"columns": 2, "kind": "bernoulli"}),
            ({"columns": [0, 1, 2], "kind": "poisson"},),
        ]
    ),
    "num_classes": st.integers(2, 4),
    "top": st.sampled_from(["standard_normal", "laplace", "vamp", "flow"]),
    "channels": st.lists(st.integers(1, 3), min_size=1, max_size=2),
}
"""Options whose types say little."""
OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "optimizer": st.sampled_from([*sorted(OPTIMIZERS), "lbfgs", "muon"]),
    "lr": st.sampled_from([1e-4, 0.1, 1.0, 1e3, 1e10]),
    "validation": st.sampled_from([0, 0.5, 1, 2, None]),
    "clip_norm": st.sampled_from([1.0, 1e-6]),
    "beta": st.sampled_from([0.0, 0.5, 4.0, 1e10]),
    "kl": st.sampled_from(["analytic", "monte_carlo"]),
    "num_particles": st.sampled_from([2, 3]),
    "kl_warmup_epochs": st.sampled_from([1, 5]),
    "ema_decay": st.sampled_from([0.5, 0.999]),
    "patience": st.just(1),
    "on_nonfinite": st.just("skip"),
    "sleep_share": st.sampled_from([0.5, 2.0]),
    "binarize": st.just("dynamic"),
    "schedule": st.just("constant"),
    "precision": st.just("bf16-mixed"),
    "weights": st.sampled_from(["of the rows", [1.0] * 5, "one"]),
    "batch_size": st.just(1),
    "epochs": st.just(3),
    "seed": st.integers(0, 9),
}
REAL = ("normal", "normal", "far", "tails", "constant", "signed")
NUMBERS = ("counts", "bits", "levels", "zero")
SUITED = {
    **dict.fromkeys(("bernoulli", "categorical", "ordinal"), ("bits",)),
    **dict.fromkeys(("beta", "continuous_bernoulli"), ("unit",)),
    **dict.fromkeys(("gamma", "log_normal"), ("positive",)),
    **dict.fromkeys(("poisson", "negative_binomial", "multinomial"), NUMBERS),
    "zero_inflated_poisson": NUMBERS,
    "zero_inflated_negative_binomial": NUMBERS,
    **dict.fromkeys(("binomial", "beta_binomial", "discretized_logistic"), ("bits",)),
}
"""Rows that a kind of likelihood can hold, by names in `CELLS`."""
SPOILT = (np.nan, np.inf, -np.inf, 1e30, -1e30, 1e-30, 1e300, 0.5, -1.0)
"""What stands in a cell where it doesn't belong."""
KINDS = {
    registry.room: sorted(registry)  # which looks through all installed packages
    for registry in (LIKELIHOODS, PRIORS, GUIDES, NETWORKS, OBJECTIVES)
}


@dataclass(frozen=True)
class Trial:
    """A model by its fields, rows, and the options of a fit."""

    fields: dict[str, Any]
    rows: np.ndarray
    options: dict[str, Any]


@st.composite
def trials(draw: st.DrawFn) -> Trial:
    """Two thirds have options that are right each by itself, and half have rows that suit."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    bold = draw(st.integers(0, 2)) == 2
    if draw(st.booleans()):
        case = CASES[draw(st.sampled_from(sorted(CASES)))]
        fields: dict[str, Any] = {
            "data_shape": case.data_shape,
            "likelihood": dict(case.options),
        }
        rows = case.rows[: draw(st.integers(3, 20))].numpy()
    else:
        shape = draw(st.sampled_from(SHAPES))
        fields = {"data_shape": shape, "likelihood": draw(parts(LIKELIHOODS, bold))}
        likelihood = fields["likelihood"]
        kind = likelihood if isinstance(likelihood, str) else likelihood["kind"]
        suited = SUITED.get(kind, REAL)
        content = draw(st.sampled_from(sorted(CELLS) if bold else list(suited)))
        count = draw(st.integers(3 - 2 * bold, 20))
        rows = CELLS[content](rng, (count, *shape))
    fields |= draw(other_fields(bold, len(fields["data_shape"]) > 1))
    rows = draw(as_given(np.asarray(rows), rng, bold, "missing" in fields))
    return Trial(fields, rows, draw(fits(bold)))


@st.composite
def other_fields(draw: st.DrawFn, bold: bool, are_images: bool) -> dict[str, Any]:
    """The fields of a model beside shape and likelihood; few of them are not the defaults."""
    fields: dict[str, Any] = {
        "latent_dim": draw(st.sampled_from([1, 2, 3])),
        "hidden_dims": draw(st.sampled_from([(), (4,), (4, 4)])),
    }
    others: dict[str, st.SearchStrategy[Any]] = {
        "prior": parts(PRIORS, bold),
        "guide": parts(GUIDES, bold),
        "encoder": parts(NETWORKS, bold),
        "decoder": parts(NETWORKS, bold),
        "missing": st.sampled_from(["at_random", "at_random", "self_masking"]),
    }
    for name, strategy in others.items():
        if draw(st.integers(0, 3)) == 0:
            fields[name] = draw(strategy)
    for name in ("encoder", "decoder"):
        if "conv" in str(fields.get(name)) and not (bold or are_images):
            del fields[name]
    if fields.get("prior") in ("flat", {"kind": "flat"}) and not bold:
        fields["guide"] = "delta"
    if bold and draw(st.booleans()):
        name = draw(st.sampled_from([*fields, "seed", "lattent_dim", "data_shape"]))
        fields[name] = draw(WRONG)
    return fields


@st.composite
def parts(draw: st.DrawFn, registry: Registry, bold: bool) -> Any:
    """A kind by its name, or a table with some of its options."""
    kind = draw(st.sampled_from(KINDS[registry.room]))
    fields = registry.options(kind).model_fields
    needed = {name for name, field in fields.items() if field.is_required()}
    if not needed and draw(st.booleans()):
        return kind
    table: dict[str, Any] = {"kind": kind}
    for name, field in fields.items():
        if name != "kind" and (name in needed or draw(st.integers(0, 2)) == 0):
            is_wrong = bold and draw(st.integers(0, 4)) == 0
            table[name] = draw(WRONG if is_wrong else values(name, field))
    return table


def values(name: str, field: FieldInfo) -> st.SearchStrategy[Any]:
    """Values that an option may have by its type."""
    if name in SPECIAL:
        return SPECIAL[name]
    found: list[st.SearchStrategy[Any]] = []
    if field.default is not PydanticUndefined:
        found.append(st.just(field.default))
    words = list(literals(field.annotation))
    if words:
        found.append(st.sampled_from(words))
    text = repr(field.annotation)
    if "tuple" in text and "int" in text:
        found.append(st.lists(st.integers(1, 4), min_size=1, max_size=2))
    elif "int" in text:
        found.append(st.integers(1, 5))
    if "float" in text:
        found.append(st.floats(0.1, 3.0))
    return st.one_of(found) if found else WRONG


def literals(annotation: Any) -> list[Any]:
    """The words that a type allows, wherever in it."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [word for part in get_args(annotation) for word in literals(part)]


@st.composite
def as_given(
    draw: st.DrawFn,
    rows: np.ndarray,
    rng: np.random.Generator,
    bold: bool,
    may_lack: bool,
) -> np.ndarray:
    """The rows in some type and order of memory, at times with cells that don't belong there."""
    kind = draw(st.sampled_from(["f4", "f8", "f8"]))
    if bold:
        kind = draw(st.sampled_from(["f8", "f2", "i8", "u1", "?"]))
    if bold and rows.size and draw(st.booleans()):
        rows = np.array(rows, dtype=np.float64)
        for _ in range(draw(st.integers(1, 5))):
            place = tuple(rng.integers(0, size) for size in rows.shape)
            rows[place] = draw(st.sampled_from(SPOILT))
        kind = "f8"
    if (bold or may_lack) and draw(st.booleans()):
        rows = np.where(rng.random(rows.shape) < 0.2, np.nan, rows)
        kind = "f8"
    if bold and draw(st.integers(0, 5)) == 0:
        rows = draw(st.sampled_from([rows.reshape(len(rows), -1), rows[:0], rows.T]))
    with np.errstate(all="ignore"):
        return np.asarray(rows).astype(kind, order=draw(st.sampled_from(["C", "F"])))


@st.composite
def fits(draw: st.DrawFn, bold: bool) -> dict[str, Any]:
    """Options of a short fit, few of which are not the defaults."""
    options: dict[str, Any] = {"epochs": 2, "compile": "off", "progress": False}
    options["batch_size"] = draw(st.sampled_from([2, 7, 128]))
    others = {**OPTIONS, "objective": parts(OBJECTIVES, bold)}
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from(sorted(others)))
        options[name] = draw(others[name])
    if bold and draw(st.booleans()):
        options[draw(st.sampled_from(sorted(others)))] = draw(WRONG)
    return options
