"""The options of `fit` are parameters that an editor completes, and the fields of `FitOptions`."""

import inspect
import pydoc
from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

import pytest

import pyro_vae as pv
from pyro_vae.training import FitOptions
from tests.training.small import X, small

PARAMETERS = inspect.signature(pv.fit).parameters
TYPES = get_type_hints(pv.fit)
FIELDS = get_type_hints(FitOptions)
FURTHER = {"vae", "x", "weights", "context", "callbacks", "checkpoint", "progress"}
"""What a file can't hold."""
WIDER: dict[str, set[Any]] = {
    "validation": set(),  # rows: anything
    "optimizer": {str},
    "optimizer_options": {str, Any},  # of a mapping
    "schedule": {FIELDS["schedule"]},
    "objective": {str, Mapping[str, Any], type(None)},
}
"""What takes a Python object too, and the types that a file can hold."""


def test_the_parameters_are_the_fields():
    assert set(PARAMETERS) == {*FitOptions.model_fields, *FURTHER}
    options = [PARAMETERS[name] for name in FitOptions.model_fields]
    assert {option.kind for option in options} == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("name", FitOptions.model_fields)
def test_defaults_and_types_are_those_of_the_field(name):
    field = FitOptions.model_fields[name]
    assert PARAMETERS[name].default == field.get_default(call_default_factory=True)
    if name in WIDER:
        assert set(get_args(TYPES[name])) >= WIDER[name]
    else:
        assert TYPES[name] == FIELDS[name]


def test_the_help_shows_them():
    shown = pydoc.render_doc(pv.fit, renderer=pydoc.plaintext)
    assert "kl_warmup_epochs: int = 0" in shown
    assert "compile: Literal['auto', 'step', 'loss', 'replay', 'off'] = 'auto'" in shown
    parameters = [name for name in PARAMETERS if name != "vae"]
    assert all(f"        {name}: " in shown for name in parameters)


OTHER_VALUES: dict[str, Any] = {
    "epochs": 2,
    "min_steps": 5,
    "batch_size": 16,
    "optimizer": "adamw",
    "lr": 1e-3,
    "optimizer_options": {"weight_decay": 0.1},
    "schedule": "constant",
    "clip_norm": 2.0,
    "kl": "monte_carlo",
    "num_particles": 2,
    "beta": 0.5,
    "kl_warmup_epochs": 2,
    "kl_cycles": 2,
    "ema_decay": 0.5,
    "validation": 10,
    "patience": 3,
    "on_nonfinite": "skip",
    "sleep_share": 0.5,
    "binarize": "dynamic",
    "seed": 3,
    "device": "cpu",
    "compile": "off",
    "precision": "bf16-mixed",
    "matmul_precision": "high",
    "timeout": 9.0,
}


def test_each_parameter_reaches_the_options():
    vae = small(likelihood="bernoulli")
    grey = (X - X.min()) / (X.max() - X.min())
    run = pv.fit(vae, grey, progress=False, **OTHER_VALUES)
    described = run.options.model_dump()
    defaults = FitOptions().model_dump()
    assert described.pop("objective") is defaults.pop("objective") is None
    assert described == OTHER_VALUES
    assert [name for name in defaults if defaults[name] == described[name]] == []
