"""Why a function can't be compiled is said in one line, with the place."""

import pytest
import torch
from torch import nn

from pyro_vae.compiler.inductor import trace_graph
from pyro_vae.compiler.refusal import Refusal, results_differ, why_refused


class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def branching(x):
    return x if x.sum() > 0 else -x


def reason(function, **named):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - of many types
        trace_graph(function, [torch.ones(2)])
    return why_refused(caught.value, **{"caller": "another", **named})


def test_a_part_of_the_model_is_named():
    decoder = nn.Sequential(nn.Linear(2, 2), Branching())
    parts = {"prior": nn.Identity(), "likelihood": decoder}
    assert reason(decoder, parts=parts).startswith("likelihood (Branching): ")


def test_other_code_is_named_by_module_and_line():
    line = branching.__code__.co_firstlineno + 1
    assert reason(branching).startswith(f"{__name__}, line {line}: ")
    assert reason(Branching()).startswith(f"{__name__}, line ")


def test_what_fails_in_the_compiler_or_its_caller_is_the_compilers():
    assert reason(branching, caller=__name__).startswith("the compiler: ")
    assert why_refused(KeyError("x"), caller="another") == "the compiler: KeyError: 'x'"


def test_the_reason_is_one_line():
    assert (
        why_refused(RuntimeError("one\ntwo"), caller="")
        == "the compiler: RuntimeError: one"
    )
    assert why_refused(RuntimeError(), caller="").endswith(
        "RuntimeError: no reason given"
    )
    assert why_refused(Refusal("it is SGD"), caller="") == "it is SGD"


def test_numbers_that_differ_are_shown_with_the_expected_ones():
    assert results_differ({"loss": 4.2, "rate": 1.0}, {"loss": 4.3, "rate": 1.0}) == (
        "compiled and eager results differ: loss 4.2, expected 4.3; rate 1, expected 1"
    )
