"""What a model with a context has as source: e(c), p(z | c), labels and random effects."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import Any

from torch import nn

from pyro_vae.effects import start_of
from pyro_vae.networks.context import EncoderWithContext
from pyro_vae.networks.positive_numbers import raw_of
from pyro_vae.program.networks import assigned
from pyro_vae.program.snippet import Snippet, factor
from pyro_vae.spec import Context

MOST_LEVELS = 20
"""Levels of a column that are written out."""
WIDTH = 96

SAVED = {
    "decoder_features.": "model.features.",
    "encoder_features.": "guide.posterior.encoder.features.",
    "label_logits": "model.label.logits",
    "label_input_": "guide.classifier.standardize.",
    "label_encoder.": "guide.classifier.network.",
    "label_features.": "guide.classifier.features.",
    "label_head.": "guide.classifier.head.",
}
"""Names in the program, and in saved weights."""


def saved(context: Context | None, encoder: nn.Module) -> dict[str, str]:
    """How names begin in a program with a context, and in saved weights."""
    if context is None:
        return {}
    names = {}
    for index, _ in enumerate(context.effects):
        names[f"u{index}.loc"] = f"guide.effects.locs.{index}"
        names[f"u{index}.raw_s"] = f"model.effects.scales.{index}.raw"
        names[f"u{index}.raw"] = f"guide.effects.raw.{index}"
    if isinstance(encoder, EncoderWithContext):
        names["encoder."] = "guide.posterior.encoder.network."
    return SAVED | names


def taken(context: Context | None, part: str) -> bool:
    """Whether a part takes the context: "prior", "encoder" or "decoder"."""
    return context is not None and bool(getattr(context, part))


def features(context: Context, name: str, levels: str = "LEVELS") -> str:
    """The statement that makes e(c)."""
    embedding = ""
    if context.embedding is not None and any(context.resolved_levels):
        embedding = f", {context.embedding}"
    return f"self.{name} = Features({levels}{embedding})"


def prior(context: Context, latent_dim: int) -> Snippet:
    """The source of p(z | c)."""
    start = (
        features(context, "prior_features"),
        f"self.prior_head = nn.Linear({context.width}, {2 * latent_dim})",
        "nn.init.zeros_(self.prior_head.weight)",
        "nn.init.zeros_(self.prior_head.bias)",
    )
    moments = "self.prior_head(self.prior_features(context)).chunk(2, -1)"
    return Snippet(
        start,
        (
            f"loc, raw_scale = {moments}",
            f"return dist.Normal(loc, {factor('raw_scale')}).to_event(1)",
        ),
    )


def likelihood(context: Context, made: Snippet, is_perceptron: bool) -> Snippet:
    """The source of p(x | z, c), from that of p(x | z).

    Arguments:
        context: of the description.
        made: the source of p(x | z).
        is_perceptron: whether the decoder takes any leading dimensions, as sums over labels need.
    """
    start, lines = made.start, made.lines
    if not is_perceptron and (context.label is not None or context.effects):
        called = "by_rows(self.decoder, z)"
        lines = tuple(line.replace("self.decoder(z)", called) for line in lines)
    if not context.decoder:
        return Snippet(start, lines)
    given = "z = beside(z, self.decoder_features(context))"
    return Snippet((features(context, "decoder_features"), *start), (given, *lines))


def inputs(context: Context, made: Snippet, encoder: Any, dims: int) -> Snippet:
    """The source of the features of (x, c), from that of the features of x.

    Arguments:
        context: of the description.
        made: ends in the line `features = self.encoder(...)`.
        encoder: the module.
        dims: dimensions of a row.
    """
    *lines, last = made.lines
    x = last.removeprefix("features = self.encoder(").removesuffix(")")
    given = "self.encoder_features(context)"
    if encoder.at_inputs:
        lines += [f"x = {x}"] * (x != "x")
        flat = "x.flatten(1)" if dims > 1 else "x"
        lines.append(f"features = self.encoder(beside({flat}, {given}))")
    else:
        lines.append(f"features = beside(self.encoder({x}), {given})")
    start = (features(context, "encoder_features"), *made.start)
    return Snippet(start, tuple(lines))


def label_prior(context: Context) -> Snippet:
    """The source of p(y)."""
    logits = f"torch.zeros({context.classes})"
    start = f'self.register_buffer("label_logits", {logits}, persistent=False)'
    if context.label is not None and context.label.prior == "learned":
        start = f"self.label_logits = nn.Parameter({logits})"
    line = "return dist.Categorical(logits=self.label_logits.log_softmax(-1))"
    return Snippet((start,), (line,))


def label(context: Context, made: Snippet, classifier: Any) -> Snippet:
    """The source of q(y | x, c).

    Arguments:
        context: of the description.
        made: the source of the features of x, of the guide's encoder.
        classifier: the module.
    """
    own = [_of_label(line) for line in made.start]
    head = classifier.head
    start = [*own, *assigned("label_encoder", classifier.network)]
    lines = [_of_label(line) for line in made.lines]
    if classifier.features is not None:
        start.append(features(context, "label_features", "LEVELS[:-1]"))
        others = "self.label_features(context[..., :-1])"
        lines.append(f"features = beside(features, {others})")
    start.append(
        f"self.label_head = nn.Linear({head.in_features}, {head.out_features})"
    )
    lines.append("log_q = self.label_head(features).log_softmax(-1)")
    lines.append("return dist.Categorical(logits=log_q)")
    return Snippet(tuple(start), tuple(lines))


def _of_label(line: str) -> str:
    """A line of the guide's inputs as one of the classifier's, which has its own."""
    return line.replace("input_", "label_input_").replace("encoder", "label_encoder")


def effects(context: Context) -> Snippet:
    """The source of the random effects, and of contexts at their means."""
    start = []
    for index, effect in enumerate(context.effects):
        made = f"Effect({effect.levels}, {effect.dim}, {raw_of(start_of(effect))!r}"
        scale = "" if effect.scale == "learned" else f", s={effect.scale!r}"
        start.append(f"self.u{index} = {made}{scale})  # of {effect.name!r}")
    lines = (*_tables(context, "self.u{index}.means()"), "return placed(context, u)")
    return Snippet(tuple(start), lines)


def programs(context: Context) -> str:
    """The source of model and guide, as methods."""
    given = ", context"
    size = ", size=None" * bool(context.effects)
    p_z = f"self.prior({given[2:] * context.prior})"
    p_x = f"self.likelihood(z{given * context.decoder})"
    q_z = f"self.posterior(x{given * context.encoder})"
    others = "placed(context, u)" if context.effects else "context"
    model = [
        f"def model(self, x=None, context=None{size}):",
        '    pyro.module("vae", self)',
        *_drawn(context, "prior"),
        *_known(context, "modelled_label(context, self.label_prior())"),
        f'        z = pyro.sample("z", {p_z})',
        f'        return pyro.sample("x", {p_x}, obs=x)',
    ]
    guide = [
        f"def guide(self, x, context{size}):",
        *_drawn(context, "posterior"),
        *_known(context, f"guided_label(context, self.label(x, {others}))"),
        f'        return pyro.sample("z", {q_z})',
    ]
    return textwrap.indent("\n".join([*model, "", *guide]), "    ") + "\n"


def _drawn(context: Context, method: str) -> Iterator[str]:
    """The lines of a program that draw what all rows share, and open the plate over rows."""
    if not context.effects:
        yield '    with pyro.plate("data", len(context)):'
        return
    sampled = f"pyro.sample({{effect.site!r}}, self.u{{index}}.{method}())"
    yield from (f"    {line}" for line in _tables(context, sampled))
    yield "    rows = torch.arange(len(context), device=context.device)"
    yield '    with pyro.plate("data", size or len(rows), subsample=rows):'


def _known(context: Context, of_label: str) -> Iterator[str]:
    """The lines of a program that fill in an unknown label, and random effects."""
    if context.label is not None:
        yield f"        context = {of_label}"
    if context.effects:
        yield "        context = placed(context, u)"


def _tables(context: Context, expression: str) -> Iterator[str]:
    """The lines that make u, the vectors of all levels by the place of a level in a context."""
    yield "u = {"
    for index, effect in enumerate(context.effects):
        value = expression.format(effect=effect, index=index)
        yield f"    {effect.position}: {value},"
    yield "}"


def notes(context: Context | None) -> Iterator[str]:
    """Sentences about contexts for the head of the file."""
    if context is None:
        return
    yield f"Contexts c are {context.size} numbers each: vae.model(x, c), vae.guide(x, c)."
    if context.label is not None:
        yield (
            "The last is the label, nan where it is unknown; TraceEnum_ELBO(max_plate_nesting=1) "
            "sums over it."
        )
    if context.effects:
        yield (
            "Random effects u are shared by all rows: with n of N rows, vae.model(x, c, N) scales "
            "these by N / n."
        )


def constants(context: Context | None) -> Iterator[str]:
    """The lines that say what the numbers of a context are."""
    if context is None:
        return
    new = {
        effect.position: f", {effect.levels} a new one" for effect in context.effects
    }
    if context.table is not None:
        for position, column in enumerate(context.table.modelled):
            levels = "".join(_levels(column.levels or ())) + new.get(position, "")
            line = f"# context[:, {position}] is {column.name!r}{levels}"
            how: Mapping[str, Any] = {
                "subsequent_indent": "#     ",
                "break_long_words": False,
                "break_on_hyphens": False,
            }
            yield from textwrap.wrap(line, WIDTH, **how)
    of_effects = " with u in its place" * bool(context.effects)
    yield f"# How many levels each number of a context{of_effects} has; None: a number as it is."
    line = f"LEVELS = {_expression(context.resolved_levels)}"
    if len(line) > WIDTH:
        line = line.replace("= ", "= (", 1) + ")"
    yield from textwrap.wrap(line, WIDTH, subsequent_indent="    ")


def _expression(levels: Sequence[int | None]) -> str:
    """A list as source, in which many of one kind stand once."""
    if len(levels) <= MOST_LEVELS:
        return repr(list(levels))
    runs = ((value, len(list(run))) for value, run in groupby(levels))
    return " + ".join(
        f"[{value}]" + f" * {length}" * (length > 1) for value, length in runs
    )


def _levels(levels: Sequence[Any]) -> Iterator[str]:
    """The levels of a column with their positions."""
    pairs = enumerate(levels)
    shown = [f"{position} {level!r}" for position, level in islice(pairs, MOST_LEVELS)]
    if shown:
        yield f": {', '.join(shown)}"
    if len(levels) > MOST_LEVELS:
        yield f", and {len(levels) - MOST_LEVELS} more"
