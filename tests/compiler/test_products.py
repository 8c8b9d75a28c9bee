"""The library of large products: chosen by a rule, and without influence on the numbers."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pyro_vae import VAE, evidence, fit
from pyro_vae.compiler import products
from pyro_vae.compiler.decompositions import LINEAR
from pyro_vae.compiler.inductor import compile_graph, trace_graph
from pyro_vae.objectives import ELBO
from pyro_vae.training import CompiledStep, State
from pyro_vae.training.train_step import step

needs_onednn = pytest.mark.skipif(
    not products.has_onednn(), reason="this torch has no oneDNN"
)
RULE = [
    # vendor, vector instructions, expected
    ("AuthenticAMD", "AVX512", "onednn"),
    ("AuthenticAMD", "AVX2", "mkl"),
    ("GenuineIntel", "AVX512", "mkl"),
    ("GenuineIntel", "AVX2", "mkl"),
]


@needs_onednn
@pytest.mark.parametrize(("vendor", "capability", "expected"), RULE)
def test_the_rule(
    vendor: str,
    capability: str,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text(f"processor : 0\nvendor_id : {vendor}\n")
    monkeypatch.setattr(products, "CPU_INFO", info)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert products.of_processor.__wrapped__() == expected


def test_the_environment_variable_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(products.VARIABLE, "mkl")
    assert products.library() == "mkl"
    monkeypatch.setenv(products.VARIABLE, "openblas")
    with pytest.raises(ValueError, match=r"PYRO_VAE_PRODUCTS: expected .*'openblas'"):
        products.library()


def test_another_value_is_an_error_before_the_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And not a reason to stay eager."""
    vae = VAE(data_shape=(4,), latent_dim=2, hidden_dims=(8,))
    monkeypatch.setenv(products.VARIABLE, "openblas")
    x = torch.zeros(30, 4)
    with pytest.raises(ValueError, match="PYRO_VAE_PRODUCTS"):
        evidence(vae, x, compile="on")
    with pytest.raises(ValueError, match="PYRO_VAE_PRODUCTS"):
        fit(vae, x, epochs=1, compile="step")
    with pytest.raises(ValueError, match="PYRO_VAE_PRODUCTS"):
        fit(vae, x, epochs=1)


def test_a_block_decides_before_the_environment_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(products.VARIABLE, "openblas")
    with products.multiplied_by("mkl"):
        assert products.library() == "mkl"
    with (
        pytest.raises(ValueError, match=r"multiplied_by: expected .*'blis'"),
        products.multiplied_by("blis"),  # type: ignore[arg-type]
    ):
        pass


@needs_onednn
def test_the_line_about_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(products.VARIABLE, "mkl")
    found = products.described(side=32)
    assert re.fullmatch(
        r"products: mkl; GFLOP/s with \d+ threads?: mkl \d+, onednn \d+; .*", found
    )


def traced(rows: int, dtype: torch.dtype = torch.float32) -> str:
    """The graph of a product of (rows, 100) and (100, 100)."""
    left = torch.zeros(rows, 100, dtype=dtype)
    right = torch.zeros(100, 100, dtype=dtype)
    return trace_graph(lambda a, b: (a @ b,), [left, right], LINEAR).code


@needs_onednn
def test_only_large_products_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(products.VARIABLE, "onednn")
    assert "pyro_vae.product" in traced(100)  # a million multiply-adds
    assert "pyro_vae.product" not in traced(99)
    assert "pyro_vae.product" not in traced(100, torch.float64)
    monkeypatch.setenv(products.VARIABLE, "mkl")
    assert "pyro_vae.product" not in traced(100)


@needs_onednn
@pytest.mark.slow
def test_products_and_their_transposes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The three of a layer: its values, and the gradients of weights and inputs."""
    monkeypatch.setenv(products.VARIABLE, "onednn")
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(120, 130, generator=generator)
    w = torch.randn(140, 130, generator=generator)
    g = torch.randn(120, 140, generator=generator)

    def layer(x: Tensor, w: Tensor, g: Tensor) -> tuple[Tensor, ...]:
        return x @ w.t(), g.t() @ x, g @ w

    module = trace_graph(layer, [x, w, g], LINEAR)
    assert module.code.count("pyro_vae.product") == 3
    compiled = compile_graph(module, [x, w, g], {"cpp_wrapper": True})
    torch.testing.assert_close(compiled(x, w, g), layer(x, w, g), rtol=1e-5, atol=1e-4)


def trained(make_step: Any) -> list[Tensor]:
    """The weights after three steps."""
    vae = VAE(data_shape=(200,), latent_dim=4, hidden_dims=(100,), seed=0)
    optimizer = torch.optim.Adam(vae.parameters(), eps=1e-3)
    state = State(vae, ELBO(), optimizer)
    x = torch.rand(100, 200, generator=torch.Generator().manual_seed(0)).round()
    torch.manual_seed(0)
    for _ in range(3):
        state, _ = make_step(state, x)
    return [weight.detach() for weight in vae.parameters()]


@needs_onednn
@pytest.mark.slow
def test_steps_and_evidence_are_those_of_mkl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(products.VARIABLE, "mkl")
    expected = trained(step)
    vae = VAE(data_shape=(200,), latent_dim=4, hidden_dims=(100,), seed=0)
    x = torch.rand(40, 200, generator=torch.Generator().manual_seed(0)).round()
    log_marginal = evidence(vae, x, num_particles=100, compile="off").log_marginal
    monkeypatch.setenv(products.VARIABLE, "onednn")
    torch.testing.assert_close(trained(CompiledStep()), expected, rtol=1e-4, atol=1e-6)
    found = evidence(vae, x, num_particles=100, compile="on").log_marginal
    torch.testing.assert_close(
        torch.tensor(found), torch.tensor(log_marginal), rtol=1e-6, atol=1e-4
    )
