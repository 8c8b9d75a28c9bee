"""p(x | z) as source, for counts and categories."""

from collections.abc import Callable
from typing import Any

from pyro_vae.networks import Shape
from pyro_vae.program.likelihoods import event, outputs, proportion
from pyro_vae.program.snippet import Snippet, Value, buffer, factor, value_of


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
    return sized(
        family,
        (buffer("x_mean", family.size.features, 1.0),),
        (f"mean = self.x_mean * {factor('self.decoder(z)')}",),
        "dist.Poisson(mean)",
    )


def negative_binomial(family: Any) -> Snippet:
    shape = family.size.features
    names = ["raw_mean", *["raw"] * family.dispersion.heads]
    dispersion = _dispersion(family)
    return sized(
        family,
        (*_of_counts(shape), *dispersion.start),
        (
            outputs(names, shape),
            f"mean = self.x_mean * {factor('raw_mean')}",
            f"dispersion = {dispersion.expression}",
        ),
        "dist.NegativeBinomial(1 / dispersion, logits=(mean * dispersion).log())",
    )


def zero_inflated_poisson(family: Any) -> Snippet:
    shape = family.size.features
    return sized(
        family,
        (buffer("x_rate", shape, 1.0), buffer("x_offset", shape)),
        (
            outputs(["raw_rate", "gate"], shape),
            f"mean, gate = self.x_rate * {factor('raw_rate')}, self.x_offset + gate",
        ),
        "dist.ZeroInflatedPoisson(mean, gate_logits=gate)",
    )


def zero_inflated_negative_binomial(family: Any) -> Snippet:
    shape = family.size.features
    names = ["raw_mean", "gate", *["raw"] * family.dispersion.heads]
    dispersion = _dispersion(family)
    return sized(
        family,
        (*_of_counts(shape), buffer("x_offset", shape), *dispersion.start),
        (
            outputs(names, shape),
            f"mean, gate = self.x_mean * {factor('raw_mean')}, self.x_offset + gate",
            f"dispersion = {dispersion.expression}",
            "make = dist.ZeroInflatedNegativeBinomial",
        ),
        "make(1 / dispersion, logits=(mean * dispersion).log(), gate_logits=gate)",
    )


def sized(
    family: Any, start: tuple[str, ...], lines: tuple[str, ...], counts: str
) -> Snippet:
    """Counts whose mean may be multiplied by the last column of a row, or by its total.

    Arguments:
        family: the likelihood's, with its size.
        start, lines: of the snippet before the distribution.
        counts: the expression of the distribution, with the name `mean`.
    """
    if not family.size.is_column and not family.size.is_total:
        return Snippet(start, (*lines, f"return {counts}{event(family)}"))
    size = [
        "self.x_size = nn.Module()",
        'self.x_size.register_buffer("typical", torch.ones(()))',
    ]
    multiplied = counts.replace("mean", "size * mean", 1)
    of_size = ["def counts(size):", f"    each = {multiplied}"]
    of_size.append(f"    return each{event(family)}")
    made = "TotalSized" if family.size.is_total else "Sized"
    ending = f"return {made}(counts, self.x_size.typical)"
    return Snippet((*start, *size), (*lines, "", *of_size, "", ending))


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
        family.dispersion, "x_dispersion", "self.x_unit", family.size.features, "raw"
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
