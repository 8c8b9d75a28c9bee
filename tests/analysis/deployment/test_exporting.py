"""Exported parts: the numbers of the modules for any number of rows and draws, and refusals."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution

import pyro_vae as pv
from pyro_vae.analysis.deployment import exporting

GUIDES: dict[str, Any] = {
    "mean_field": "mean_field",
    "full_rank": "full_rank",
    "low_rank": "low_rank",
    "hierarchical": {"kind": "hierarchical", "top_dim": 1},
    "flow": {"kind": "flow", "hidden_dims": (8,)},
}
LIKELIHOODS: dict[str, Any] = {
    "normal": "normal",
    "beta_binomial": {"kind": "beta_binomial", "total_count": 3},
    "mixed": {
        "kind": "mixed",
        "columns": [
            {"columns": [0], "kind": "poisson"},
            {"columns": [1, 2], "kind": "student_t"},
            {"columns": [3], "kind": "categorical", "num_classes": 3},
        ],
    },
}
SIZES = [(1, 1), (2, 17), (40, 3), (17, 19)]
"""Rows and draws."""
RANDOM = torch.Generator().manual_seed(0)
X = torch.randint(0, 3, (40, 4), generator=RANDOM).float()


def small(**fields: Any) -> pv.VAE:
    return pv.VAE(
        **{"data_shape": (4,), "latent_dim": 2, "hidden_dims": (8,), **fields}
    )


def loaded(file: Path) -> Any:
    return torch.export.load(file).module()


def weights(vae: pv.VAE, x: Tensor, z: Tensor) -> Tensor:
    """log p(z) + log p(x | z) - log q(z | x)."""
    log_joint = vae.prior().log_prob(z) + vae.likelihood(z).log_prob(x)
    found: Tensor = log_joint - vae.posterior(x).log_prob(z)
    return found


def noise(draws: int, rows: int) -> Tensor:
    return torch.randn(draws, rows, 2, generator=RANDOM)


@pytest.mark.slow
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("guide", GUIDES)
def test_exported_weights_are_those_of_the_model(
    guide: str, likelihood: str, tmp_path: Path
) -> None:
    vae = small(guide=GUIDES[guide], likelihood=LIKELIHOODS[likelihood]).double()
    x = X.double()
    weight = loaded(pv.export(vae, tmp_path / "weight.pt2", part="log_weight"))
    for rows, draws in SIZES:
        z = noise(draws, rows).double()
        expected = weights(vae, x[:rows], z)
        torch.testing.assert_close(
            weight(x[:rows], z), expected, rtol=1e-10, atol=1e-10
        )


@pytest.mark.slow
@pytest.mark.parametrize("guide", GUIDES)
def test_exported_draws_are_of_the_guide(guide: str, tmp_path: Path) -> None:
    vae = small(guide=GUIDES[guide]).double()
    x = X.double()
    draw = loaded(pv.export(vae, tmp_path / "draws.pt2", part="draws"))
    for rows, draws in SIZES:
        z, weight = draw(x[:rows], noise(draws, rows).double())
        expected = weights(vae, x[:rows], z)
        torch.testing.assert_close(weight, expected, rtol=1e-8, atol=1e-8)
    z, _ = draw(x[:2], noise(20_000, 2).double())
    q = vae.posterior(x[:2])
    own = q.sample(torch.Size([20_000]))
    torch.testing.assert_close(z.mean(0), own.mean(0), rtol=0, atol=0.05)
    for row in range(2):
        torch.testing.assert_close(
            z[:, row].T.cov(), own[:, row].T.cov(), rtol=0.1, atol=0.05
        )


@pytest.mark.slow
@pytest.mark.parametrize("guide", [*GUIDES, "delta"])
def test_exported_codes_are_those_of_encode(guide: str, tmp_path: Path) -> None:
    prior = "flat" if guide == "delta" else "standard_normal"
    vae = small(guide=GUIDES.get(guide, guide), prior=prior)
    codes = pv.encode(vae, X)
    program = loaded(pv.export(vae, tmp_path / "encoder.pt2"))
    for rows, _ in SIZES:
        loc, scale = program(X[:rows])
        torch.testing.assert_close(loc, torch.from_numpy(codes.loc[:rows]))
        torch.testing.assert_close(scale, torch.from_numpy(codes.scale[:rows]))


@pytest.mark.slow
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_exported_rows_are_those_of_reconstruct(
    likelihood: str, tmp_path: Path
) -> None:
    vae = small(guide="semi_amortized", likelihood=LIKELIHOODS[likelihood])
    codes = torch.from_numpy(pv.encode(vae, X).loc)
    program = loaded(pv.export(vae, tmp_path / "decoder.pt2", part="likelihood"))
    rows = torch.from_numpy(pv.reconstruct(vae, X))
    for count, _ in SIZES:
        torch.testing.assert_close(program(codes[:count]), rows[:count])


@pytest.mark.slow
def test_missing_cells_and_pictures_go_through(tmp_path: Path) -> None:
    vae = small(missing="at_random", data_shape=(2, 2))
    x = X.reshape(-1, 2, 2).clone()
    x[::3, 0, 1] = torch.nan
    weight = loaded(pv.export(vae, tmp_path / "weight.pt2", part="log_weight"))
    for rows, draws in SIZES:
        z = noise(draws, rows)
        torch.testing.assert_close(weight(x[:rows], z), weights(vae, x[:rows], z))
        assert weight(x[:rows], z).isfinite().all()


@pytest.mark.slow
def test_the_file_needs_torch_alone(tmp_path: Path) -> None:
    vae = small(likelihood="poisson")
    file = pv.export(vae, tmp_path / "draws.pt2", part="draws")
    torch.save({"x": X, "eps": noise(500, 40)}, tmp_path / "rows.pt")
    code = (
        "import math, sys, torch\n"
        "given = torch.load('rows.pt')\n"
        f"program = torch.export.load({file.name!r}).module()\n"
        "_, weight = program(given['x'], given['eps'])\n"
        "print(float((weight.logsumexp(0) - math.log(500)).mean()))\n"
        "assert not {'pyro', 'pyro_vae'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    exact = pv.evidence(vae, X, num_particles=2000, progress=False)
    assert float(done.stdout) == pytest.approx(exact.log_marginal.mean(), abs=0.05)


@pytest.mark.parametrize("is_on", [True, False])
def test_modes_and_the_validation_switch_stay(is_on: bool, tmp_path: Path) -> None:
    vae = small().train()
    names = ("validate_distributions_pyro", "validate_distributions_torch")
    switches = dict(zip(names, (is_on, not is_on), strict=True))
    with pyro.settings.context(**switches):
        pv.export(vae, tmp_path / "encoder.pt2")
        assert {name: pyro.settings.get(name) for name in names} == switches
    assert all(module.training for module in vae.modules())
    assert torch.is_grad_enabled()


REFUSED: dict[str, tuple[dict[str, Any], str, dict[str, Any], str]] = {
    "another kind of file": (
        {},
        "encoder.bin",
        {},
        r"^file: expected a name that ends in .onnx or .pt2, got '.*encoder.bin'",
    ),
    "no folder": ({}, "none/encoder.pt2", {}, "^file: expected an existing folder"),
    "another part": (
        {},
        "encoder.pt2",
        {"part": "encoder"},
        "^part: expected one of posterior, likelihood, log_weight, draws, label, got 'encoder'",
    ),
    "gradients": (
        {"guide": "semi_amortized"},
        "encoder.pt2",
        {},
        "^guide 'semi_amortized': its steps take gradients .*; export part='likelihood'",
    ),
    "an autoencoder's weights": (
        {"guide": "delta", "prior": "flat"},
        "weight.pt2",
        {"part": "log_weight"},
        "^vae: guide 'delta' with prior 'flat' is an autoencoder",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_exported_is_refused_before_any_work(
    case: str, tmp_path: Path
) -> None:
    fields, name, options, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        pv.export(small(**fields), tmp_path / name, **options)
    assert not list(tmp_path.iterdir())


def test_what_to_install_for_onnx(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "find_spec", lambda name: None)
    message = (
        r"got no onnx and onnxscript; pip install 'pyro-vae\[onnx\]', or write a .pt2"
    )
    with pytest.raises(ValueError, match=message):
        pv.export(small(), tmp_path / "encoder.onnx")


def deciding(x: Tensor) -> Distribution:
    """A guide that looks at the values."""
    sign = 1.0 if x.sum() > 0 else -1.0
    return dist.Normal(sign * x[:, :2], 1.0).to_event(1)


def mirrored(x: Tensor) -> Distribution:
    """A guide whose draws are not moved normal noise."""
    return dist.Laplace(x[:, :2], 1.0).to_event(1)


@pytest.mark.slow
def test_own_guides_are_exported_or_told_why_not(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"^posterior: torch.export can't make a program of guide: "
    ):
        pv.export(small(guide=deciding), tmp_path / "encoder.pt2")
    vae = small(guide=mirrored)
    with pytest.raises(ValueError, match=r"^draws: expected a guide .* given z$"):
        pv.export(vae, tmp_path / "draws.pt2", part="draws")
    assert not list(tmp_path.iterdir())
    weight = loaded(pv.export(vae, tmp_path / "weight.pt2", part="log_weight"))
    z = noise(5, 40)
    torch.testing.assert_close(weight(X, z), weights(vae, X, z))


# ONNX, where its packages are installed


def answers(file: Path, **given: Tensor) -> dict[str, np.ndarray]:
    """What onnxruntime computes, by the names of the outputs."""
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    arrays = {name: tensor.numpy() for name, tensor in given.items()}
    return dict(zip(names, session.run(None, arrays), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("guide", ["mean_field", "low_rank"])
def test_codes_in_onnx_are_those_of_encode(guide: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    vae = small(guide=guide)
    codes = pv.encode(vae, X)
    file = pv.export(vae, tmp_path / "encoder.onnx")
    for rows, _ in SIZES:
        found = answers(file, x=X[:rows])
        assert list(found) == ["loc", "scale"]
        np.testing.assert_allclose(found["loc"], codes.loc[:rows], atol=2e-6)
        np.testing.assert_allclose(found["scale"], codes.scale[:rows], atol=2e-6)


@pytest.mark.slow
def test_weights_in_onnx_are_those_of_the_model(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    vae = small(likelihood="poisson")
    file = pv.export(vae, tmp_path / "weight.onnx", part="log_weight")
    for rows, draws in SIZES:
        z = noise(draws, rows)
        found = answers(file, x=X[:rows], z=z)["log_weight"]
        expected = weights(vae, X[:rows], z).detach()
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    axes = [
        [axis.dim_param or axis.dim_value for axis in given.type.tensor_type.shape.dim]
        for given in onnx.load(file).graph.input
    ]
    assert axes == [["rows", 4], ["draws", "rows", 2]]


@pytest.mark.slow
def test_what_onnx_lacks_is_named(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    message = "^file: expected a part that ONNX can express, got 'log_weight', .*lacks aten.linalg"
    with pytest.raises(ValueError, match=message):
        pv.export(small(guide="full_rank"), tmp_path / "weight.onnx", part="log_weight")
    assert not list(tmp_path.iterdir())
