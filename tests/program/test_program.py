"""The program of a model is the model: the same weights, the same ELBO, without this library."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, Trace_ELBO
from torch import Tensor, nn

import pyro_vae as pv
from tests.program.cases import CASES, DIGITS_DIFFER, REAL, SLOW

FIXED = ("typical", "total", "fill", "first_width")
"""What stays: sizes of rows, numbers inside the support, and the width of a map at its start."""


def small(**fields: Any) -> pv.VAE:
    return pv.VAE(
        **{"data_shape": (6,), "latent_dim": 3, "hidden_dims": (7, 7), **fields}
    )


def program(vae: pv.VAE) -> Any:
    """The model that the program of a model makes."""
    names: dict[str, Any] = {"__name__": "program"}
    exec(compile(vae.program(), "program.py", "exec"), names)
    return names["VAE"]()


@torch.no_grad()
def moved(vae: pv.VAE) -> pv.VAE:
    """The model with other weights and buffers than those it starts with, still positive ones."""
    generator = torch.Generator().manual_seed(1)
    for name, value in vae.state_dict().items():
        if value.is_floating_point() and not name.endswith(FIXED):
            value.add_(0.2 * torch.rand(value.shape, generator=generator))
    return vae.eval()


def elbo(model: Any, x: Tensor, dtype: torch.dtype) -> float:
    """The ELBO of one draw for each row, in the given numbers."""
    model.to(dtype)
    with (
        pyro.get_param_store().scope(),
        pyro.settings.context(module_local_params=True),
    ):
        pyro.set_rng_seed(3)
        loss = Trace_ELBO().differentiable_loss(model.model, model.guide, x.to(dtype))
    return -float(loss.detach())


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in SLOW else ())
        for name in CASES
    ],
)
def test_the_program_has_the_same_elbo(name: str, tmp_path: Path) -> None:
    """To the last digit; where the library's density has more digits than torch's, in float64."""
    fields, x = CASES[name]
    vae = small(**fields)
    text = vae.program()
    moved(vae)
    assert vae.program() == text  # which is of the description, not of the weights
    pv.save(vae, tmp_path / "run")
    own = program(vae).load(tmp_path / "run" / "model.safetensors")
    if name.startswith(DIGITS_DIFFER):
        expected = elbo(vae, x, torch.float64)
        assert elbo(own, x, torch.float64) == pytest.approx(expected, rel=1e-9)
    else:
        assert elbo(own, x, torch.float32) == elbo(vae, x, torch.float32)
    assert max(map(len, text.splitlines())) <= 110
    if name == "prior flat":
        return
    with pyro.get_param_store().scope(), torch.no_grad():
        assert own.model(n=4).shape == (4, *x.shape[1:])


def test_the_default_is_short_and_imports_torch_and_pyro_alone() -> None:
    text = pv.VAE(data_shape=(64,)).program()
    assert len([line for line in text.splitlines() if line.strip()]) <= 60
    imported = re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE)
    assert set(imported) == {"pyro", "safetensors", "torch"}


def test_weights_in_float64_keep_their_digits(tmp_path: Path) -> None:
    vae = moved(small(prior="student_t").double())
    pv.save(vae, tmp_path / "run")
    own = program(vae).load(tmp_path / "run" / "model.safetensors")
    dtypes = {value.dtype for value in [*own.parameters(), *own.buffers()]}
    assert dtypes == {torch.float64}
    expected = elbo(vae, REAL, torch.float64)
    assert elbo(own, REAL, torch.float64) == pytest.approx(expected, rel=1e-12)


@pytest.mark.slow
def test_the_program_runs_alone_on_the_weights_of_a_run(tmp_path: Path) -> None:
    vae = moved(small())
    pv.save(vae, tmp_path / "run")
    expected = elbo(vae, REAL, torch.float32)
    torch.save(REAL, tmp_path / "rows.pt")
    check = (
        "x, vae = torch.load('rows.pt'), VAE().load('run/model.safetensors')\n"
        "pyro.set_rng_seed(3)\n"
        "loss = pyro.infer.Trace_ELBO().differentiable_loss\n"
        "print(-float(loss(vae.model, vae.guide, x)))\n"
        "import sys; print('pyro_vae' in sys.modules)\n"
    )
    code = f"{vae.program()}\n\nimport pyro.infer\n{check}"
    (tmp_path / "program.py").write_text(code, encoding="utf-8")
    alone = [sys.executable, "-I", "program.py"]
    done = subprocess.run(alone, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found, loaded = done.stdout.split()
    assert float(found) == expected
    assert loaded == "False"


def test_the_program_is_trained_by_svi() -> None:
    own = program(small())
    with pyro.get_param_store().scope():
        optimizer = pyro.optim.Adam({"lr": 0.03})
        svi = SVI(own.model, own.guide, optimizer, Trace_ELBO())
        losses = [svi.step(REAL + 3) for _ in range(40)]
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_cells_that_are_missing_start_inside_the_support() -> None:
    fields, x = CASES["mixed, missing"]
    own = program(small(**fields))
    assert own.fill.tolist()[3] > 0  # that of log_normal
    assert elbo(own, x, torch.float32) > -1e4


def test_a_program_is_written_of_the_sizes_and_constants() -> None:
    text = small(prior={"kind": "laplace", "scale": 0.25}, denoise=0.125).program()
    for line in (
        "scale = 0.25 + self.zeros",
        "x = x + 0.125 * torch.randn_like(x)",
        "self.z_head = nn.Linear(7, 6)",
    ):
        assert f"        {line}\n" in text


class Own(nn.Module):
    """A layer of the user's."""

    def forward(self, x: Tensor) -> Tensor:
        return x


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "vamp at the top": (
        {
            "prior": {"kind": "hierarchical", "top_dim": 1, "top": "vamp"},
            "guide": {"kind": "hierarchical", "top_dim": 1},
        },
        "prior.hierarchical.top: .* got 'vamp'",
    ),
    "own prior": (
        {"prior": dist.Normal(torch.zeros(3), 1.0).to_event(1)},
        "prior: .* got your own; .* paste your p\\(z\\) into the method prior$",
    ),
    "semi_amortized": ({"guide": "semi_amortized"}, "guide: .* got 'semi_amortized'"),
    "bottom up": (
        {"guide": {"kind": "hierarchical", "top_dim": 1, "direction": "bottom_up"}},
        "guide: .* got 'hierarchical' from the bottom up",
    ),
    "self masking": (
        {"missing": "self_masking"},
        "missing: .* got 'self_masking'; .* model with missing='at_random'$",
    ),
    "whole rows": (
        {"missing": "at_random", "likelihood": "multinomial"},
        "missing: .* got a likelihood of rows as a whole",
    ),
    "columns that depend on each other": (
        {
            "missing": "at_random",
            "likelihood": {"kind": "normal", "covariance": "full"},
        },
        "missing: .* got a likelihood of rows as a whole",
    ),
    "own layer": (
        {"encoder": nn.Sequential(Own(), nn.Linear(6, 5))},
        "encoder: .* got a module Own; .* its class before VAE .* `self.encoder =`$",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_takes_more_than_a_few_lines_is_refused(case: str) -> None:
    fields, message = REFUSED[case]
    with pytest.raises(ValueError, match=f"^program: {message}"):
        small(**fields).program()


def test_every_kind_is_either_covered_or_refused() -> None:
    rooms = {"prior": pv.PRIORS, "likelihood": pv.LIKELIHOODS, "guide": pv.GUIDES}
    models = [small(**fields).spec for fields, _ in CASES.values()]
    covered = {slot: {getattr(spec, slot).kind for spec in models} for slot in rooms}
    missing = {slot: set(kinds) - covered[slot] for slot, kinds in rooms.items()}
    assert missing == {
        "prior": set(),
        "likelihood": set(),
        "guide": {"semi_amortized"},
    }
