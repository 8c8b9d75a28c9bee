"""Exported parts of models with a context, which is their last input, for any number of rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

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
@pytest.mark.parametrize("guide", ["mean_field", "full_rank", "flow"])
@pytest.mark.parametrize("name", CONTEXTS)
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


@pytest.mark.slow
def test_the_weights_of_draws_estimate_the_evidence_given_the_context(
    tmp_path: Path,
) -> None:
    vae = a_vae(CONTEXTS["levels"])
    x, context = rows_of(vae)
    draw = loaded(pv.export(vae, tmp_path / "draws.pt2", part="draws"))
    _, weight = draw(x, noise(20_000, ROWS), context)
    found = weight.logsumexp(0).detach() - np.log(20_000)
    exact = pv.evidence(
        vae, x, context=context, num_particles=20_000, progress=False
    ).log_marginal
    np.testing.assert_allclose(found, exact, atol=0.1)


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


@pytest.mark.slow
@pytest.mark.parametrize("name", CONTEXTS)
def test_onnx_gives_the_numbers_of_float64(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    vae = a_vae(CONTEXTS[name])
    x, context = rows_of(vae)

    def session(part: str) -> Any:
        file = pv.export(vae, tmp_path / f"{part}.onnx", part=part)
        return runtime.InferenceSession(file, providers=["CPUExecutionProvider"])

    def answers(running: Any, **given: Tensor) -> list[Tensor]:
        arrays = {name: tensor.detach().numpy() for name, tensor in given.items()}
        assert [one.name for one in running.get_inputs()] == [*arrays]
        return [torch.from_numpy(one) for one in running.run(None, arrays)]

    encoder, decoder = session("posterior"), session("likelihood")
    weight = session("log_weight")
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
