"""Compiled graphs are found again, in another environment too, and only where they are whole."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from pyro_vae.compiler import saved_graphs
from pyro_vae.compiler.graph_key import GRAPHS, graph_key
from pyro_vae.compiler.saved_graphs import _takes, find, save

FIT = """
import hashlib, json, sys
import torch
import pyro_vae as pv
from pyro_vae.training import compiled_graph

compile_graph, compiled = compiled_graph.compile_graph, []
compiled_graph.compile_graph = lambda *a: compiled.append(1) or compile_graph(*a)
torch.manual_seed(0)
x = (torch.rand(60, 6) < 0.4).float()
vae = pv.VAE(data_shape=(6,), latent_dim=2, hidden_dims=(8,), likelihood="bernoulli", seed=0)
options = dict(epochs=3, batch_size=20, validation=None, compile="step", progress=False, seed=0)
run = pv.fit(vae, x, kl_warmup_epochs=2, ema_decay=0.9, **options)
weights = torch.cat([one.detach().flatten() for one in vae.parameters()])
names = ("sympy", "torch._dynamo", "torch._inductor")
print(json.dumps({
    "compiled": len(compiled),
    "weights": hashlib.sha256(weights.numpy().tobytes()).hexdigest(),
    "losses": [row["loss"] for row in run.history],
    "imported": [one for one in names if one in sys.modules],
    "torch": torch.__file__,
}))
"""


def printed(program: str, folder: Path, *path: Path) -> dict[str, Any]:
    """What a Python of its own prints, with one folder for all that is compiled."""
    places = [*map(str, path), os.environ.get("PYTHONPATH", ""), os.getcwd(), *sys.path]
    own = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))}
    own |= {GRAPHS: str(folder / "graphs"), "TORCHINDUCTOR_CACHE_DIR": str(folder)}
    run = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(run, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_the_second_run_compiles_and_imports_nothing(tmp_path: Path) -> None:
    """Also in an environment elsewhere, whose torch has another path; a damaged file is not run."""
    cache, elsewhere = tmp_path / "cache", tmp_path / "elsewhere"
    first = printed(FIT, cache)
    assert first["compiled"] == 1
    assert "torch._inductor" in first["imported"]
    again = printed(FIT, cache)
    assert (again["compiled"], again["imported"]) == (0, [])
    elsewhere.mkdir()
    (elsewhere / "torch").symlink_to(Path(torch.__file__).parent)
    moved = printed(FIT, cache, elsewhere)
    assert moved["torch"].startswith(str(elsewhere))
    assert (moved["compiled"], moved["imported"]) == (0, [])
    for name in ("weights", "losses"):
        assert first[name] == again[name] == moved[name]
    (library,) = (cache / "graphs").glob("*.so")
    content = library.read_bytes()
    library.write_bytes(content[:-1] + b"\x01")
    damaged = printed(FIT, cache)
    assert (damaged["compiled"], damaged["weights"]) == (1, first["weights"])
    assert library.read_bytes() == content


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a graph that nobody has compiled, in a folder of its own."""
    monkeypatch.setenv(GRAPHS, str(tmp_path))
    found = graph_key(lambda x: x.exp(), [torch.ones(2)], {})
    assert found is not None
    return found


def test_a_graph_has_another_name_for_other_options_and_threads(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.ones(2)
    assert graph_key(torch.exp, [x], {}) == key
    assert graph_key(torch.exp, [x], {"cpp_wrapper": True}) != key
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    assert graph_key(torch.exp, [x], {}) != key


@pytest.mark.parametrize(
    ("name", "value"), [(GRAPHS, "off"), ("TORCHINDUCTOR_FREEZING", "1")]
)
def test_graphs_are_not_kept(
    name: str, value: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the user says so, and where torch's compiler has settings of the user."""
    monkeypatch.setenv(name, value)
    assert graph_key(torch.exp, [torch.ones(2)], {}) is None


def test_inputs_count_with_their_memory(key: str) -> None:
    """What a copy has in another order, and two inputs that are one."""
    x = torch.ones(3, 1)
    wide = x.expand(3, 2)
    assert graph_key(torch.exp, [wide], {}) != graph_key(torch.exp, [wide.clone()], {})
    assert graph_key(torch.add, [x, x], {}) is None
    assert graph_key(torch.add, [x, x.clone()], {}) is not None


def test_what_is_kept_takes_no_random_numbers(key: str) -> None:
    before = torch.get_rng_state()
    assert graph_key(lambda x: x + torch.randn(2), [torch.ones(2)], {}) is not None
    assert torch.equal(torch.get_rng_state(), before)


NOTES = {
    "nothing": None,
    "half a note": '{"sha256": ',
    "a note without the graph": '{"sha256": "0", "used": []}',
    "another note": "[]",
}


@pytest.mark.parametrize("name", NOTES)
def test_what_is_not_whole_is_not_found(name: str, key: str, tmp_path: Path) -> None:
    note = NOTES[name]
    if note is not None:
        (tmp_path / f"{key}.json").write_text(note)
        (tmp_path / f"{key}.so").write_bytes(b"")
    assert find(key) is None
    assert find(None) is None


def test_a_library_for_other_tensors_is_not_called(tmp_path: Path) -> None:
    """It doesn't check their number, and would read beyond them."""
    library = tmp_path / "a.main.so"
    source = "auto inputs = steal_from_raw_handles_to_raii_handles(input_handles, 3);"
    library.with_suffix(".cpp").write_text(source)
    assert [_takes(library, count) for count in (2, 3, 4)] == [False, True, False]


@pytest.mark.parametrize("off", [0.0, 1e-6])
def test_a_graph_is_kept_where_a_direct_call_has_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, off: float
) -> None:
    def direct(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x += 1 + off
        return (2 * x,)

    def run(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x += 1
        return (2 * x,)

    library = tmp_path / "made.so"
    library.touch()
    monkeypatch.setenv(GRAPHS, str(tmp_path / "graphs"))
    monkeypatch.setattr(saved_graphs, "_takes", lambda library, count: True)
    monkeypatch.setattr(saved_graphs, "_loaded", lambda library: direct)
    x = torch.ones(3)
    kept = save("key", library, [0], [x], run)
    assert (kept is direct) == (off == 0)
    assert len([*(tmp_path / "graphs").iterdir()]) == (2 if off == 0 else 0)
    assert x.tolist() == [1, 1, 1]
