"""p(x | z) as source: from the decoder's outputs to a distribution over real numbers."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pyro_vae.likelihoods.beta import FLOOR
from pyro_vae.likelihoods.discretized_logistic import STANDARD
from pyro_vae.likelihoods.student_t import EXCESS_DF
from pyro_vae.program.normals import correlated, warped
from pyro_vae.program.snippet import Snippet, buffer, factor, unpacked, value_of

UNITS = (("x_mean", 0.0), ("x_std", 1.0))


def outputs(names: Sequence[str], shape: tuple[int, ...]) -> str:
    """The line that takes the decoder's outputs apart.

    Example:
        >>> outputs(["loc"], (4,)), outputs(["loc", "raw_scale"], (4,))
        ('loc = self.decoder(z)', 'loc, raw_scale = self.decoder(z).unbind(-2)')
    """
    if len(names) == 1:
        return f"{names[0]} = self.decoder(z)"
    return f"{', '.join(names)} = self.decoder(z).unbind({-1 - len(shape)})"


def located(names: Sequence[str], shape: tuple[int, ...]) -> tuple[str, ...]:
    """The lines that take the outputs apart and put the location in the data's units."""
    line = outputs(names, shape)
    if len(names) == 1:
        return ("loc = self.x_mean + self.x_std * self.decoder(z)",)
    return line, "loc = self.x_mean + self.x_std * loc"


def row(family: Any, *lines: str, start: Iterable[str] = ()) -> Snippet:
    """A family whose features are independent, in units of their spread.

    Arguments:
        family: the likelihood's.
        lines: of the method.
        start: further statements of the constructor.
    """
    units = [buffer(name, family.data_shape, at) for name, at in UNITS]
    return Snippet((*units, *start), lines)


def event(family: Any) -> str:
    """What makes the distributions of the features one over rows."""
    return f".to_event({len(family.data_shape)})"


def normal(family: Any) -> Snippet:
    names = ["loc", *["raw_scale"] * family.scale.heads]
    scale = value_of(
        family.scale, "x_scale", "self.x_std", family.data_shape, "raw_scale"
    )
    made = row(
        family,
        *located(names, family.data_shape),
        f"scale = {scale.expression}",
        f"return Normal(loc, scale){event(family)}",
        start=scale.start,
    )
    if family.correlation is not None:
        made = correlated(made, family.correlation)
    return made if family.warp is None else warped(made, family.data_shape)


def laplace(family: Any) -> Snippet:
    names = ["loc", *["raw_scale"] * family.scale.heads]
    scale = value_of(family.scale, "x_scale", "unit", family.data_shape, "raw_scale")
    return row(
        family,
        *located(names, family.data_shape),
        f"unit = self.x_std / {math.sqrt(2)!r}",
        f"scale = {scale.expression}",
        f"return dist.Laplace(loc, scale){event(family)}",
        start=scale.start,
    )


def student_t(family: Any) -> Snippet:
    names = ["loc", *["raw_scale"] * family.scale.heads]
    names += ["raw_df"] * family.excess_df.heads
    shape = family.data_shape
    scale = value_of(family.scale, "x_scale", "self.x_std", shape, "raw_scale")
    excess = value_of(family.excess_df, "x_excess_df", "unit", shape, "raw_df")
    return row(
        family,
        *located(names, shape),
        f"scale = {scale.expression}",
        f"unit = torch.full_like(self.x_std, {float(EXCESS_DF)!r})",
        f"df = 1 + {excess.expression}",
        f"return dist.StudentT(df, loc, scale){event(family)}",
        start=(*excess.start, *scale.start),
    )


def log_normal(family: Any) -> Snippet:
    names = ["loc", *["raw_scale"] * family.scale.heads]
    shape = family.data_shape
    scale = value_of(family.scale, "x_scale", "self.x_spread", shape, "raw_scale")
    return Snippet(
        (buffer("x_start", shape), buffer("x_spread", shape, 1.0), *scale.start),
        (
            outputs(names, shape),
            f"scale = {scale.expression}",
            "loc = self.x_start + self.x_spread * loc",
            f"return dist.LogNormal(loc, scale){event(family)}",
        ),
    )


def gamma(family: Any) -> Snippet:
    names = ["mean", *["raw"] * family.concentration.heads]
    shape = family.data_shape
    concentration = value_of(
        family.concentration, "x_concentration", "self.x_unit", shape, "raw"
    )
    return Snippet(
        (
            buffer("x_mean", shape, 1.0),
            buffer("x_unit", shape, 1.0),
            *concentration.start,
        ),
        (
            outputs(names, shape),
            f"concentration = {concentration.expression}",
            f"rate = concentration / {factor('mean')} / self.x_mean",
            f"return dist.Gamma(concentration, rate){event(family)}",
        ),
    )


def proportion(family: Any) -> tuple[Snippet, str]:
    """The start and the lines of a and b of a beta distribution."""
    names = ["logits", *["raw"] * family.concentration.heads]
    shape = family.data_shape
    concentration = value_of(
        family.concentration, "x_concentration", "self.x_unit", shape, "raw"
    )
    made = Snippet(
        (buffer("x_offset", shape), buffer("x_unit", shape, 2.0), *concentration.start),
        (
            outputs(names, shape),
            "mean = torch.sigmoid(self.x_offset + logits)",
            f"concentration = {concentration.expression}",
            f"a = {FLOOR} + concentration * mean",
            f"b = {FLOOR} + concentration * torch.sigmoid(-self.x_offset - logits)",
        ),
    )
    return made, event(family)


def beta(family: Any) -> Snippet:
    made, ending = proportion(family)
    lines = (*made.lines, f"return dist.Beta(a, b){ending}")
    return Snippet(made.start, lines)


def continuous_bernoulli(family: Any) -> Snippet:
    return Snippet(
        lines=(
            f"return dist.ContinuousBernoulli(logits=self.decoder(z)){event(family)}",
        )
    )


def discretized_logistic(family: Any) -> Snippet:
    shape = family.data_shape
    ones = (1,) * len(shape)
    components = -1 - len(shape)
    parts = ["loc", *["raw_scale"] * family.scale.heads]
    parts += ["logits"] * (family.mixtures > 1)
    unit = f"self.x_std * {STANDARD!r}"
    scale = value_of(family.scale, "x_scale", "unit", shape, "raw_scale")
    sizes = str((family.heads, family.mixtures, *shape))
    logits = "logits" if family.mixtures > 1 else "torch.zeros_like(loc)"
    split = f"{unpacked(parts)} = raw.unbind({components - 1})"
    offsets = f"torch.linspace(-1, 1, {family.mixtures})"
    if family.mixtures == 1:
        offsets = "torch.zeros(1)"
    return Snippet(
        (
            *(buffer(name, shape, at) for name, at in UNITS),
            f'self.register_buffer("x_offsets", {offsets}.reshape({(-1, *ones)}))',
            *scale.start,
        ),
        (
            "raw = self.decoder(z)",
            f"raw = raw.reshape(*z.shape[:-1], *{sizes})",
            split,
            "loc = self.x_mean + self.x_std * (self.x_offsets + loc)",
            f"unit = {unit}",
            f"scale = ({scale.expression}).expand_as(loc)",
            f"loc, scale, logits = (t.movedim({components}, -1) for t in (loc, scale, {logits}))",
            f"each = DiscretizedLogistic(loc, scale, {family.levels})",
            "weights = dist.Categorical(logits=logits)",
            f"return dist.MixtureSameFamily(weights, each){event(family)}",
        ),
    )


def named_distribution(family: Any) -> Snippet:
    """Any distribution of Pyro by its name."""
    names = list(family.maps)
    lines = ["raw = self.x_offset + self.decoder(z)"]
    heads = ["raw"]
    if len(names) > 1:
        heads = [f"raw_{name}" for name in names]
        lines.append(f"{', '.join(heads)} = raw.unbind({-1 - len(family.data_shape)})")
    for name, head in zip(names, heads, strict=True):
        lines.append(f"{name} = {_mapped(family, name, head)}")
    if "loc" in names:
        lines.append("loc = self.x_mean + self.x_std * loc")
    if "scale" in names:
        lines.append("scale = self.x_std * scale")
    given = [f"{name}={name}" for name in names]
    given += [
        f"{name}=self.x_std.new_tensor({value!r})"
        for name, value in family.fixed.items()
    ]
    lines.append(f"return dist.{family.name}({', '.join(given)}){event(family)}")
    start = [buffer(name, family.data_shape, at) for name, at in UNITS]
    start.append(buffer("x_offset", family.param_shape))
    return Snippet(tuple(start), tuple(lines))


def _mapped(family: Any, name: str, head: str) -> str:
    """A parameter from a decoder's output."""
    to_constraint = family.maps[name]
    if hasattr(to_constraint, "args"):  # above a bound
        (bound,) = to_constraint.args
        return f"{bound!r} + {factor(head)}"
    limit = f"dist.{family.name}.arg_constraints[{name!r}]"
    return f"torch.distributions.transform_to({limit})({head})"


NUMBERS: dict[str, Callable[[Any], Snippet]] = {
    "normal": normal,
    "laplace": laplace,
    "student_t": student_t,
    "log_normal": log_normal,
    "gamma": gamma,
    "beta": beta,
    "continuous_bernoulli": continuous_bernoulli,
    "discretized_logistic": discretized_logistic,
    "distribution": named_distribution,
}
