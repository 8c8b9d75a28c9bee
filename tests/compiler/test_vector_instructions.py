"""Vector instructions are taken from torch, and tried only where the C++ compiler refuses them."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest

LIST = "import json\nprint(json.dumps([str(one) for one in valid_vec_isa_list()]))"
TRIED = "from torch._inductor.cpu_vec_isa import valid_vec_isa_list\n" + LIST
BELIEVED = """
from pyro_vae.compiler.vector_instructions import without_trials
from torch._inductor.cpu_vec_isa import VecISA, valid_vec_isa_list
trial = VecISA.check_build
with without_trials():
    with without_trials():  # as by another thread
        valid_vec_isa_list()
assert VecISA.check_build is trial
"""
FORGOTTEN = """
from pyro_vae.compiler.vector_instructions import forget, without_trials
from torch._inductor.cpu_vec_isa import valid_vec_isa_list
with without_trials():
    valid_vec_isa_list()
forget()
"""
COMPILED = """
import json, torch
from pyro_vae.compiler.inductor import compile_graph, trace_graph
x = torch.linspace(-1, 1, 64)
graph = compile_graph(trace_graph(lambda x: (x.exp() - x,), [x]), [x], {"cpp_wrapper": True})
print(json.dumps(float((graph(x)[0] - (x.exp() - x)).abs().max())))
"""
REFUSING = """#!/bin/sh
case "$*" in *avx512*|*amx*) echo "unrecognized command-line option" >&2; exit 1;; esac
exec {compiler} "$@"
"""


def printed(program: str, cache: Path, **environment: str) -> object:
    """What a Python of its own prints, with an empty cache of the compiler."""
    own = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(cache), **environment}
    run = [sys.executable, "-W", "ignore", "-c", program]
    found = subprocess.run(run, env=own, capture_output=True, text=True, check=True)
    return json.loads(found.stdout.splitlines()[-1])


@pytest.mark.slow
def test_what_torch_says_is_what_trials_find(tmp_path: Path) -> None:
    expected = printed(TRIED, tmp_path / "tried")
    assert printed(BELIEVED + LIST, tmp_path / "believed") == expected
    assert list((tmp_path / "tried").rglob("*.so"))
    assert not list((tmp_path / "believed").rglob("*.so"))
    assert printed(FORGOTTEN + LIST, tmp_path / "forgotten") == expected


@pytest.mark.slow
def test_a_compiler_that_does_not_know_them(tmp_path: Path) -> None:
    """As an old one on a new processor: the graph has the instructions that both know."""
    compiler = tmp_path / "g++"
    compiler.write_text(REFUSING.format(compiler=which("g++")))
    compiler.chmod(compiler.stat().st_mode | stat.S_IXUSR)
    error = printed(COMPILED, tmp_path / "cache", CXX=str(compiler))
    assert isinstance(error, float)
    assert error < 1e-6
