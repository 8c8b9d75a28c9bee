"""`step`: one step down the gradient, equal to the same lines written by hand."""

import dataclasses
import math

import pytest
import torch
from torch.nn.functional import softplus

from pyro_vae.data import ArrayRows, Placement
from pyro_vae.objectives import ELBO
from pyro_vae.rng import own_seed
from pyro_vae.training import Info, State, fit, step
from pyro_vae.training.ema import ExponentialMovingAverage
from pyro_vae.training.preparation import check_and_initialise
from tests.training.small import X, same, small, watched, weights

BATCH = torch.as_tensor(X[:7]).double()


def double(**fields):
    return small(likelihood={"kind": "normal", "scale": 0.7}, **fields).double()


def state_of(vae, lr=0.1, **fields):
    return State(vae, ELBO(), torch.optim.SGD(vae.parameters(), lr=lr), **fields)


def by_hand(vae, x, beta):
    """The loss in plain torch: standardise, encode, draw by torch's generator, decode."""
    encoder, head = vae.posterior.encoder, vae.posterior.family.head
    loc, raw_scale = head(encoder(x)).chunk(2, -1)
    scale = 1e-4 + softplus(raw_scale)
    z = loc + scale * torch.normal(torch.zeros_like(loc), torch.ones_like(scale))
    mean = vae.likelihood.decoder(z)
    rate = 0.5 * (scale**2 + loc**2 - 1 - 2 * scale.log()).sum(-1)
    distortion = 0.5 * (((x - mean) / 0.7) ** 2 + math.log(2 * math.pi * 0.7**2)).sum(
        -1
    )
    return (distortion + beta * rate).mean(), rate.mean(), distortion.mean()


def norm_of(gradients):
    return torch.cat([gradient.flatten() for gradient in gradients]).norm()


@pytest.mark.parametrize("beta", [1.0, 0.25, 0.0])
@pytest.mark.parametrize("clip", [None, 0.1, 1e6])
def test_a_step_is_the_one_written_by_hand(beta, clip):
    """In float64, so that only the order of the sums differs: 1e-12."""
    ours, theirs = double(), double()
    with own_seed(11):
        loss, rate, distortion = by_hand(theirs, BATCH, beta)
        gradients = torch.autograd.grad(loss, list(theirs.parameters()))
    norm = norm_of(gradients)
    factor = (
        1.0 if clip is None else min(1.0, clip / (float(norm) + 1e-6))
    )  # as torch clips
    with own_seed(11):
        _, info = step(state_of(ours, beta=beta, clip_norm=clip), BATCH)
    torch.testing.assert_close(
        info,
        Info(loss.detach(), rate.detach(), distortion.detach(), norm),
        rtol=1e-12,
        atol=0,
    )
    for moved, first, gradient in zip(
        ours.parameters(), theirs.parameters(), gradients, strict=True
    ):
        torch.testing.assert_close(
            moved.detach(), first - 0.1 * factor * gradient, rtol=1e-12, atol=1e-14
        )


def test_a_step_returns_another_state_and_leaves_the_first():
    vae = double()
    first = state_of(vae, beta=0.5)
    second, _ = step(first, BATCH)
    third, _ = step(second, BATCH)
    assert [state.steps for state in (first, second, third)] == [0, 1, 2]
    assert dataclasses.replace(third, steps=0) == first
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.steps = 5


def test_what_a_step_tells_has_no_history():
    _, info = step(state_of(double()), BATCH)
    assert all(
        value.shape == () and not value.requires_grad and value.dtype == torch.float64
        for value in info
    )
    assert float(info.loss) == pytest.approx(
        float(info.rate + info.distortion), rel=1e-14
    )


def test_gradients_do_not_pile_up():
    vae = double()
    state = state_of(vae, lr=1e-30)
    norms = []
    for _ in range(3):
        with own_seed(0):
            state, info = step(state, BATCH)
        norms.append(float(info.grad_norm))
    assert norms == [norms[0]] * 3


def test_the_mean_over_rows_does_not_depend_on_their_number():
    """Without noise, twice the same rows make the same step."""
    results = []
    for x in (BATCH, BATCH.repeat(2, 1)):
        vae = small(
            prior="flat", guide="delta", likelihood={"kind": "normal", "scale": 0.7}
        ).double()
        step(State(vae, ELBO(), torch.optim.SGD(vae.parameters(), lr=0.1)), x)
        results.append(weights(vae))
    torch.testing.assert_close(*results, rtol=1e-12, atol=1e-14)


def test_the_average_follows_the_steps():
    vae = double()
    average = ExponentialMovingAverage(list(vae.parameters()), 0.9)
    state = state_of(vae, ema=average)
    expected = [p.detach().clone() for p in vae.parameters()]
    for _ in range(4):
        state, _ = step(state, BATCH)
        expected = [
            0.9 * mean + 0.1 * p.detach()
            for mean, p in zip(expected, vae.parameters(), strict=True)
        ]
    torch.testing.assert_close(average.values, expected, rtol=1e-12, atol=1e-14)


def test_the_average_is_applied_inside_a_block_only():
    vae = double()
    average = ExponentialMovingAverage(list(vae.parameters()), 0.9)
    step(state_of(vae, ema=average), BATCH)
    own = [p.detach().clone() for p in vae.parameters()]

    def now():
        return [p.detach() for p in vae.parameters()]

    def inside():
        with average.applied():
            assert all(
                torch.equal(p, mean)
                for p, mean in zip(now(), average.values, strict=True)
            )
            assert not any(torch.equal(p, q) for p, q in zip(now(), own, strict=True))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        inside()
    assert all(torch.equal(p, q) for p, q in zip(now(), own, strict=True))


def test_twenty_lines_of_a_user_are_fit():
    """The same rows in the same order with the same noise, to the last bit."""
    fitted, vae = small(), small()
    history = fit(
        fitted,
        X,
        epochs=2,
        batch_size=16,
        lr=1e-2,
        schedule="constant",
        validation=None,
        seed=3,
    ).history

    rows = ArrayRows(X, Placement())
    order = torch.Generator().manual_seed(3)
    state = State(vae, ELBO(), torch.optim.Adam(vae.parameters(), lr=1e-2, fused=True))
    losses = []
    with own_seed(3):
        check_and_initialise(vae, {"x": rows}, rows)
        with torch.no_grad():
            state.objective(
                vae.model, vae.guide, next(rows.batches(16))
            )  # `fit` looks at the first rows
        for _ in range(2):
            total = 0.0
            for batch in rows.batches(16, order):
                state, info = step(state, batch)
                total += len(batch) * float(info.loss)
            losses.append(total / len(rows))

    assert same(weights(fitted), weights(vae))
    assert [row["loss"] for row in history] == pytest.approx(losses, rel=1e-6)
    assert state.steps == 8


def test_any_optimizer_will_do():
    steps, vae = [], double()
    optimizer = watched(torch.optim.RMSprop, steps, lr=0.01)(vae.parameters())
    step(State(vae, ELBO(), optimizer), BATCH)
    assert len(steps) == 1
