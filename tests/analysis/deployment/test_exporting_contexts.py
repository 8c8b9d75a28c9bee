"""Exported parts of models with a context, which is their last input, for any number of rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import pyro_vae as pv

SIZES = [(1, 1), (2, 17), (12, 3), (17, 19)]
"""Rows and draws."""
RANDOM = torch.Generator().manual_seed(0)
ROWS = max(rows for rows, _ in SIZES)
FRAME = pd.DataFrame(
    {
        "site": [f"site {row % 4}" for row in range(ROWS)],
        "age": np.linspace(20, 80, ROWS),
        "species": ["owl", "tit", "jay"] * (ROWS // 3) + ["owl"] * (ROWS % 3),
        "wing": np.linspace(-1, 1, ROWS) ** 2,
        "mass": np.linspace(1, 3, ROWS),
    }
)
CONTEXTS: dict[str, dict[str, Any]] = {
    "levels": {"columns": ["site", "age"]},
    "embedded in all layers": {
        "columns": ["site", "age"],
        "layers": "all",
        "embedding": 2,
    },
    "prior alone": {"columns": ["site"], "encoder": False, "decoder": False},
    "effects": {"columns": {"site": "random_effect", "age": "normal"}},
    "label": {"columns": ["age"], "label": "species"},
}
QUICK = "embedded in all layers"
NAMES = [
    pytest.param(name, marks=() if name == QUICK else pytest.mark.slow)
    for name in CONTEXTS
]


def a_vae(context: dict[str, Any], **fields: Any) -> pv.VAE:
    """A small model in float64, with weights and units at which no term is zero."""
    used = [*context["columns"], *([context["label"]] if "label" in context else [])]
    vae = pv.VAE.from_data(
        FRAME[[*used, "wing", "mass"]],
        latent_dim=2,
        hidden_dims=(5, 4),
        context=context,
        **fields,
    )
    with torch.no_grad():
        for name, value in vae.state_dict().items():
            if value.is_floating_point() and not name.endswith("typical"):
                value.add_(0.3 * torch.rand(value.shape, generator=RANDOM))
    return vae.double()


def rows_of(vae: pv.VAE) -> tuple[Tensor, Tensor]:
    """Rows and contexts as the model takes them."""
    x = torch.randn(ROWS, 2, generator=RANDOM).double()
    assert vae.spec.context is not None
    columns = [
        torch.arange(ROWS) % levels if levels else torch.linspace(20, 80, ROWS)
        for levels in vae.spec.context.levels
    ]
    return x, torch.stack([column.double() for column in columns], -1)


def noise(draws: int, rows: int) -> Tensor:
    return torch.randn(draws, rows, 2, generator=RANDOM).double()


def loaded(file: Path) -> Any:
    return torch.export.load(file).module()


def same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_encoder_and_decoder_take_contexts(name: str, tmp_path: Path) -> None:
    vae = a_vae(CONTEXTS[name])
    x, context = rows_of(vae)
    encoder = loaded(pv.export(vae, tmp_path / "encoder.pt2"))
    decoder = loaded(pv.export(vae, tmp_path / "decoder.pt2", part="likelihood"))
    for rows, _ in SIZES:
        given = vae.given(context[:rows])
        loc, scale = encoder(x[:rows], context[:rows])
        same(loc, given.posterior(x[:rows]).mean)
        same(scale, given.posterior(x[:rows]).stddev)
        same(decoder(loc, context[:rows]), given.likelihood(loc).mean)
    codes = pv.encode(vae, x, context=context)
    same(encoder(x, context)[0], torch.from_numpy(codes.loc))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "guide"),
    [
        ("levels", "full_rank"),
        ("prior alone", "flow"),
        ("effects", "mean_field"),
        ("label", "mean_field"),
    ],
)
def test_weights_are_those_given_the_context(
    name: str, guide: str, tmp_path: Path
) -> None:
    vae = a_vae(CONTEXTS[name], guide=guide)
    x, context = rows_of(vae)
    weight = loaded(pv.export(vae, tmp_path / "weight.pt2", part="log_weight"))
    draw = loaded(pv.export(vae, tmp_path / "draws.pt2", part="draws"))

    def expected(z: Tensor, rows: int) -> Tensor:
        given = vae.given(context[:rows])
        log_p = given.prior().log_prob(z) + given.likelihood(z).log_prob(x[:rows])
        found: Tensor = log_p - given.posterior(x[:rows]).log_prob(z)
        return found

    for rows, draws in SIZES:
        z = noise(draws, rows)
        same(weight(x[:rows], z, context[:rows]), expected(z, rows))
        z, of_draws = draw(x[:rows], noise(draws, rows), context[:rows])
        torch.testing.assert_close(of_draws, expected(z, rows), rtol=1e-8, atol=1e-8)


def test_the_classifier_takes_contexts_with_any_label(tmp_path: Path) -> None:
    vae = a_vae(CONTEXTS["label"])
    x, context = rows_of(vae)
    program = loaded(pv.export(vae, tmp_path / "label.pt2", part="label"))
    expected = vae.guide.log_q_y(x, context).exp()
    unknown = context.clone()
    unknown[:, -1] = torch.nan
    for rows, _ in SIZES:
        same(program(x[:rows], unknown[:rows]), expected[:rows])


@pytest.mark.parametrize(
    "fields", [{}, {"context": {"dim": 1}}], ids=["no context", "no label"]
)
def test_a_model_without_a_label_has_no_classifier(
    fields: dict[str, Any], tmp_path: Path
) -> None:
    vae = pv.VAE(data_shape=(2,), latent_dim=1, hidden_dims=(2,), **fields)
    with pytest.raises(ValueError, match=r"^part: expected a model with a label for"):
        pv.export(vae, tmp_path / "label.pt2", part="label")


def session(file: Path) -> Any:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    return runtime.InferenceSession(file, providers=["CPUExecutionProvider"])


def answers(running: Any, **given: Tensor) -> list[Tensor]:
    """What onnxruntime computes, whose inputs have these names in this order."""
    arrays = {name: tensor.detach().numpy() for name, tensor in given.items()}
    assert [one.name for one in running.get_inputs()] == [*arrays]
    return [torch.from_numpy(one) for one in running.run(None, arrays)]


@pytest.mark.slow
@pytest.mark.parametrize("name", [QUICK, "prior alone", "effects"])
def test_onnx_gives_the_numbers_of_float64(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    vae = a_vae(CONTEXTS[name])
    x, context = rows_of(vae)
    parts = ("posterior", "likelihood", "log_weight")
    encoder, decoder, weight = (
        session(pv.export(vae, tmp_path / f"{part}.onnx", part=part)) for part in parts
    )
    for rows, draws in SIZES:
        c, z = context[:rows], noise(draws, rows)
        given = vae.given(c)
        q = given.posterior(x[:rows])
        loc, scale = answers(encoder, x=x[:rows], context=c)
        same(loc, q.mean)
        same(scale, q.stddev)
        same(answers(decoder, z=loc, context=c)[0], given.likelihood(loc).mean)
        log_p = given.prior().log_prob(z) + given.likelihood(z).log_prob(x[:rows])
        same(answers(weight, x=x[:rows], z=z, context=c)[0], log_p - q.log_prob(z))


@pytest.mark.slow
def test_onnx_has_every_softplus_and_number_in_float64(tmp_path: Path) -> None:
    """Softplus of other slopes, and far from 0, where torch's is the identity; a fixed scale."""
    pytest.importorskip("onnxscript")
    encoder = nn.Sequential(nn.Linear(2, 3), nn.Softplus(beta=2.0, threshold=3.0))
    likelihood = {"kind": "normal", "scale": 0.3}
    fields: dict[str, Any] = {"likelihood": likelihood, "standardize": "none"}
    vae = pv.VAE(data_shape=(2,), latent_dim=1, encoder=encoder, **fields).double()
    encoder_file, weight_file = (
        session(pv.export(vae, tmp_path / f"{part}.onnx", part=part))
        for part in ("posterior", "log_weight")
    )
    for scale in (0.1, 1.0, 30.0):
        x = scale * torch.randn(50, 2, generator=RANDOM).double()
        q = vae.posterior(x)
        loc, width = answers(encoder_file, x=x)
        same(loc, q.mean)
        same(width, q.stddev)
        z = loc.unsqueeze(0)
        log_p = vae.prior().log_prob(z) + vae.likelihood(z).log_prob(x)
        same(answers(weight_file, x=x, z=z)[0], log_p - q.log_prob(z))
