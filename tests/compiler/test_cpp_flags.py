"""Graphs are compiled with less optimisation, to the same numbers, and torch stays as it was."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FLAGS = """
import json
from torch._inductor import cpp_builder
from pyro_vae.compiler.cpp_flags import at_lower_level

def levels():
    flags, _ = cpp_builder._get_optimization_cflags("g++")
    return [flag for flag in flags if flag.startswith("O")]

found = [levels()]
with at_lower_level():
    with at_lower_level():  # as by another thread
        found.append(levels())
    found.append(levels())
found.append(levels())
print(json.dumps(found))
"""
COMPILED = """
import json, sys, torch
from contextlib import nullcontext
from pyro_vae.compiler import inductor
if sys.argv[1] == "O3":
    inductor.at_lower_level = nullcontext
x = torch.linspace(-4, 4, 1000).view(40, 25)
function = lambda x: (x.tanh().softmax(1), (x @ x.T).exp().sum(0), x.std(1), torch.lgamma(x.abs()))
inputs = [x]
graph = inductor.compile_graph(inductor.trace_graph(function, inputs), inputs, inductor.CPP_WRAPPER)
print(json.dumps([one.tolist() for one in graph(x)]))
"""


def printed(program: str, cache: Path, *arguments: str) -> object:
    """What a Python of its own prints, with an empty cache of the compiler."""
    own = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(cache)}
    run = [sys.executable, "-W", "ignore", "-c", program, *arguments]
    found = subprocess.run(run, env=own, capture_output=True, text=True, check=True)
    return json.loads(found.stdout.splitlines()[-1])


@pytest.mark.slow
def test_the_level_is_lower_inside_only(tmp_path: Path) -> None:
    assert printed(FLAGS, tmp_path) == [["O3"], ["O2"], ["O2"], ["O3"]]


@pytest.mark.slow
def test_the_numbers_are_the_same(tmp_path: Path) -> None:
    """To the last bit: the flags about rounding are not among those that change."""
    ours = printed(COMPILED, tmp_path / "ours", "O2")
    assert ours == printed(COMPILED, tmp_path / "usual", "O3")
