"""p(x | z) as source, for counts and categories."""

from collections.abc import Callable
from typing import Any

from pyro_vae.networks import Shape
from pyro_vae.program.likelihoods import event, outputs, proportion
from pyro_vae.program.snippet import Snippet, Value, buffer, factor, refuse, value_of


def bernoulli(family: Any) -> Snippet:
    logits = "self.x_offset + self.decoder(z)"
    return Snippet(
        (buffer("x_offset", family.data_shape),),
        (f"return dist.Bernoulli(logits={logits}){event(family)}",),
    )


def binomial(family: Any) -> Snippet:
    total = [float(n) for n in family.total.flatten().tolist()]
    count = total if family.total.ndim else total[0]
    return Snippet(
        (
            buffer("x_offset", family.data_shape),
            f'self.register_buffer("x_total", torch.tensor({count}), persistent=False)',
        ),
        (
            "logits = self.x_offset + self.decoder(z)",
            f"return dist.Binomial(self.x_total, logits=logits){event(family)}",
        ),
    )


def beta_binomial(family: Any) -> Snippet:
    made, ending = proportion(family)
    total = f"a.new_tensor({float(family.total_count)})"
    lines = (*made.lines, f"return dist.BetaBinomial(a, b, {total}){ending}")
    return Snippet(made.start, lines)


def poisson(family: Any) -> Snippet:
    _require_no_size(family)
    return Snippet(
        (buffer("x_mean", family.data_shape, 1.0),),
        (
            f"rate = self.x_mean * {factor('self.decoder(z)')}",
            f"return dist.Poisson(rate){event(family)}",
        ),
    )


def negative_binomial(family: Any) -> Snippet:
    _require_no_size(family)
    names = ["raw_mean", *["raw"] * family.dispersion.heads]
    dispersion = _dispersion(family)
    return Snippet(
        (*_of_counts(family.data_shape), *dispersion.start),
        (
            outputs(names, family.data_shape),
            f"mean = self.x_mean * {factor('raw_mean')}",
            f"dispersion = {dispersion.expression}",
            "logits = (mean * dispersion).log()",
            f"return dist.NegativeBinomial(1 / dispersion, logits=logits){event(family)}",
        ),
    )


def zero_inflated_poisson(family: Any) -> Snippet:
    _require_no_size(family)
    shape = family.data_shape
    return Snippet(
        (buffer("x_rate", shape, 1.0), buffer("x_offset", shape)),
        (
            outputs(["raw_rate", "gate"], shape),
            f"rate = self.x_rate * {factor('raw_rate')}",
            "gate_logits = self.x_offset + gate",
            f"return dist.ZeroInflatedPoisson(rate, gate_logits=gate_logits){event(family)}",
        ),
    )


def zero_inflated_negative_binomial(family: Any) -> Snippet:
    _require_no_size(family)
    names = ["raw_mean", "gate", *["raw"] * family.dispersion.heads]
    dispersion = _dispersion(family)
    inflated = "dist.ZeroInflatedNegativeBinomial"
    start = (*_of_counts(family.data_shape), buffer("x_offset", family.data_shape))
    return Snippet(
        (*start, *dispersion.start),
        (
            outputs(names, family.data_shape),
            f"mean = self.x_mean * {factor('raw_mean')}",
            f"dispersion = {dispersion.expression}",
            "logits, gate_logits = (mean * dispersion).log(), self.x_offset + gate",
            f"row = {inflated}(1 / dispersion, logits=logits, gate_logits=gate_logits)",
            f"return row{event(family)}",
        ),
    )


def multinomial(family: Any) -> Snippet:
    return Snippet(
        (buffer("x_offset", family.data_shape), buffer("x_total", (), 1.0)),
        (
            "logits, total = self.x_offset + self.decoder(z), int(self.x_total)",
            "return dist.Multinomial(total, logits=logits, validate_args=False)",
        ),
    )


def categorical(family: Any) -> Snippet:
    shape = family.param_shape
    logits = f"(self.x_offset + self.decoder(z)).movedim({-len(shape)}, -1)"
    return Snippet(
        (buffer("x_offset", shape),),
        (
            f"logits = {logits}",
            f"return dist.Categorical(logits=logits){event(family)}",
        ),
    )


def ordinal(family: Any) -> Snippet:
    shape = family.data_shape
    steps = (family.num_classes - 2, *shape)
    lines = [
        "first = self.x_first + self.x_raw[0]",
        f"steps = self.x_steps * {factor('self.x_raw[1:]')}",
        "cutpoints = torch.cat([first[None], first + steps.cumsum(0)]).movedim(0, -1)",
        f"return dist.OrderedLogistic(self.decoder(z), cutpoints){event(family)}",
    ]
    return Snippet(
        (
            f"self.x_raw = nn.Parameter(torch.zeros({(family.num_classes - 1, *shape)}))",
            buffer("x_first", shape),
            buffer("x_steps", steps, 1.0),
        ),
        tuple(lines),
    )


def _of_counts(shape: Shape) -> tuple[str, str]:
    return buffer("x_mean", shape, 1.0), buffer("x_unit", shape, 1.0)


def _dispersion(family: Any) -> Value:
    return value_of(
        family.dispersion, "x_dispersion", "self.x_unit", family.data_shape, "raw"
    )


def _require_no_size(family: Any) -> None:
    if family.size.is_column:
        refuse(
            "likelihood",
            "a size factor",
            "its multiplication of the rate into the method likelihood",
        )


COUNTS: dict[str, Callable[[Any], Snippet]] = {
    "bernoulli": bernoulli,
    "binomial": binomial,
    "beta_binomial": beta_binomial,
    "poisson": poisson,
    "negative_binomial": negative_binomial,
    "zero_inflated_poisson": zero_inflated_poisson,
    "zero_inflated_negative_binomial": zero_inflated_negative_binomial,
    "multinomial": multinomial,
    "categorical": categorical,
    "ordinal": ordinal,
}
