"""A model as one file of torch and Pyro, which runs without this library."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import nn

from pyro_vae.networks.context import EncoderWithContext
from pyro_vae.program import contexts
from pyro_vae.program.context_helpers import CONTEXT_HELPERS
from pyro_vae.program.counts import COUNTS
from pyro_vae.program.guides import guide
from pyro_vae.program.helpers import HELPERS
from pyro_vae.program.likelihoods import NUMBERS
from pyro_vae.program.networks import assigned
from pyro_vae.program.priors import prior
from pyro_vae.program.rows import likelihood, masked, saved_groups, with_missing
from pyro_vae.program.snippet import Snippet, buffer, refuse
from pyro_vae.spec import Parts, Spec
from pyro_vae.spec.members import PERCEPTRONS

__all__ = ["program_of"]

SAVED = {
    "prior_top_": "model.prior.top.",
    "prior_net.": "model.prior.net.",
    "prior_": "model.prior.",
    "decoder.": "model.likelihood.decoder.",
    "x_": "model.likelihood.family.",
    "fill": "model.likelihood.missing.fill",
    "input_": "guide.posterior.standardize.",
    "encoder.": "guide.posterior.encoder.",
    "z_": "guide.posterior.family.",
}
"""Names in the program: how they begin, and how they begin in saved weights."""

HEAD = '''"""A variational autoencoder in Pyro: rows x of shape {shape}, z of {size} numbers.

    vae = VAE().load("model.safetensors")  # or fit it by pyro.infer.SVI(vae.model, vae.guide, ...)
{notes}"""

'''

PROGRAMS = """    def model(self, x=None, n=1):
        pyro.module("vae", self)
        with pyro.plate("data", n if x is None else len(x)):
            z = pyro.sample("z", self.prior())
            return pyro.sample("x", self.likelihood(z), obs=x)

    def guide(self, x):
        with pyro.plate("data", len(x)):
            return pyro.sample("z", self.posterior(x))
"""
LOAD = """    def load(self, file):
        saved, own = load_file(file), {}
        for name in self.state_dict():
            start = next(start for start in SAVED if name.startswith(start))
            own[name] = saved[SAVED[start] + name.removeprefix(start)]
        self.load_state_dict(own, assign=True)
        return self.to(next(self.parameters()).dtype).eval()
"""

STANDARD = {
    "from collections import OrderedDict": r"\bOrderedDict\(",
    "from functools import partial": r"\bpartial\(",
}
IMPORTS = {
    "import pyro": r"\bpyro\.module",
    "import pyro.distributions as dist": r"\bdist\.",
    "import torch": r"\btorch\.",
    "import zuko": r"\bzuko\.",
    "from safetensors.torch import load_file": r"\bload_file\b",
    "from torch import nn": r"\bnn\.",
    "from torch.nn.functional import {}": r"\b(softplus|logsigmoid)\(",
}
"""Import lines of packages, each with the pattern of what needs it; `STANDARD` has Python's own."""


def program_of(spec: Spec, parts: Parts, classifier: nn.Module | None = None) -> str:
    """The model and the guide as the source of a class VAE.

    Arguments:
        spec: the description.
        parts: the modules.
        classifier: that of a model with a label.

    Raises:
        ValueError: a part that can't be written in a few lines.
    """
    _refuse_what_has_no_source(spec)
    own: Any = parts
    encoder = own.posterior.encoder
    network = encoder.network if isinstance(encoder, EncoderWithContext) else encoder
    p_z = _prior(spec, own.prior)
    p_x = _likelihood(spec, own.likelihood.family)
    inputs = _inputs(spec, encoder)
    q_z = guide(own.posterior.family, spec.guide, spec.latent_dim)
    start = [
        *p_z.start,
        *assigned("decoder", own.likelihood.decoder),
        *p_x.start,
        *inputs.start,
        *assigned("encoder", network),
        *q_z.start,
    ]
    methods = {
        _head(spec, "prior", parts.prior): p_z.lines,
        _head(spec, "decoder", own.likelihood.family): p_x.lines,
        _head(spec, "encoder", own.posterior.family): (*inputs.lines, *q_z.lines),
    }
    for head, made in _of_context(spec, classifier).items():
        start += made.start
        methods[head] = made.lines
    programs = PROGRAMS if spec.context is None else contexts.programs(spec.context)
    body = "\n".join([*_class(start, methods), "", f"{programs}\n{LOAD}"])
    helpers = _helpers(body)
    names = contexts.saved(spec.context, encoder)
    names = saved_groups(own.likelihood.family) | SAVED | names
    return _whole(spec, helpers, body, _saved(start, names))


def _head(spec: Spec, part: str, module: Any) -> str:
    """The first line of the method of a part, which may take the context."""
    inputs = {"prior": "self", "decoder": "self, z", "encoder": "self, x"}[part]
    name = {"prior": "prior", "decoder": "likelihood", "encoder": "posterior"}[part]
    comment = _comment(module)
    if contexts.taken(spec.context, part):
        inputs += ", context"
        comment = re.sub(r"\((x|z)\b", r"(\1, c", comment)
    return f"{name}({inputs}):  # {comment}"


def _prior(spec: Spec, module: Any) -> Snippet:
    if spec.context is not None and spec.context.prior:
        return contexts.prior(spec.context, spec.latent_dim)
    return prior(module, spec.prior)


def _of_context(spec: Spec, classifier: Any) -> dict[str, Snippet]:
    """The other methods of a model with a context."""
    context, found = spec.context, {}
    if context is not None and context.label is not None:
        inputs = _inputs_of_rows(spec.model_copy(update={"denoise": 0.0}))
        found["label_prior(self):  # p(y)"] = contexts.label_prior(context)
        made = contexts.label(context, inputs, classifier)
        found["label(self, x, context):  # q(y | x)"] = made
    if context is not None and context.effects:
        found["given(self, context):  # with u = E[u]"] = contexts.effects(context)
    return found


def _whole(spec: Spec, helpers: list[str], body: str, names: Iterable[str]) -> str:
    """All lines of the file."""
    saved = "\n".join(names)
    imports = "\n".join(_imports("".join([*helpers, body])))
    notes = "".join(f"    {note}\n" for note in contexts.notes(spec.context))
    head = HEAD.format(shape=spec.data_shape, size=spec.latent_dim, notes=notes)
    constants = "".join(f"{line}\n" for line in contexts.constants(spec.context))
    pieces = [f"{head}{imports}\n\n{constants}{saved}", *helpers, body]
    return "\n\n\n".join(piece.strip() for piece in pieces) + "\n"


def _saved(start: Iterable[str], names: Mapping[str, str]) -> Iterator[str]:
    """The lines of the names in saved weights that the attributes of a model need, two in each."""
    made = re.findall(r'(?:self\.|register_buffer\(")(\w+)(?=[" ])', "\n".join(start))
    pairs = [
        f'"{mine}": "{theirs}"'
        for mine, theirs in names.items()
        if any(
            f"{name}.".startswith(mine) or mine.startswith(f"{name}.") for name in made
        )
    ]
    yield "SAVED = {  # how names begin here, and in saved weights"
    for first in range(0, len(pairs), 2):
        yield f"    {', '.join(pairs[first : first + 2])},"
    yield "}"


def _helpers(body: str) -> list[str]:
    """The functions and classes that a body calls, and that these call."""
    text = body
    every = HELPERS | CONTEXT_HELPERS
    for name in reversed(every):
        if name in set(re.findall(r"(?<![.\w])(\w+)[()]", text)):
            text += every[name]
    return [helper for helper in every.values() if helper in text]


def _refuse_what_has_no_source(spec: Spec) -> None:
    """Raise ValueError for what stands outside of the three parts."""
    if spec.self_masking is not None:
        refuse(
            "missing",
            "'self_masking'",
            "p(mask | x) into the method likelihood of a model with missing='at_random'",
        )
    for slot, kind in (
        ("guide", spec.guide.kind),
        ("likelihood", spec.likelihood.kind),
    ):
        if kind == "custom":
            method = "posterior" if slot == "guide" else "likelihood"
            refuse(slot, "your own", f"your module into the method {method}")


def _likelihood(spec: Spec, family: Any) -> Snippet:
    kind = spec.likelihood.kind
    made = likelihood(family, kind, {**NUMBERS, **COUNTS})
    if spec.missing != "none":
        made = with_missing(made, family, getattr(family, "kinds", [kind]))
    if spec.context is None:
        return made
    is_perceptron = spec.decoder.kind in PERCEPTRONS
    return contexts.likelihood(spec.context, made, is_perceptron)


def _inputs(spec: Spec, encoder: Any) -> Snippet:
    """The features of the encoder from rows, and from their contexts where it takes them."""
    made = _inputs_of_rows(spec)
    if spec.context is None or not spec.context.encoder:
        return made
    return contexts.inputs(spec.context, made, encoder, len(spec.data_shape))


def _inputs_of_rows(spec: Spec) -> Snippet:
    """The features of the encoder from rows in units of their spread."""
    start, inputs, lines = [], "x", []
    if spec.standardize != "none":
        start = [
            buffer("input_mean", spec.data_shape),
            buffer("input_std", spec.data_shape, 1.0),
        ]
        inputs = "(x - self.input_mean) / self.input_std"
    if spec.denoise:
        lines = [f"x = {inputs}", "if self.training:"]
        lines.append(f"    x = x + {spec.denoise!r} * torch.randn_like(x)")
        inputs = "x"
    if spec.missing == "none":
        lines.append(f"features = self.encoder({inputs})")
    else:
        lines += masked(inputs, len(spec.data_shape))
    return Snippet(tuple(start), tuple(lines))


def _comment(part: Any) -> str:
    """The symbols of a part, without options."""
    symbols: str = part.extra_repr()
    return re.sub(r", [\w /]+='?[\w.]+'?", "", symbols)


def _class(start: Iterable[str], methods: dict[str, tuple[str, ...]]) -> Iterator[str]:
    """The lines of the class VAE, up to its programs."""
    yield "class VAE(nn.Module):"
    yield "    def __init__(self):"
    yield "        super().__init__()"
    yield from (f"        {line}" for line in start)
    for head, lines in methods.items():
        yield ""
        yield f"    def {head}"
        yield from (f"        {line}".rstrip() for line in lines)


def _imports(text: str) -> Iterator[str]:
    """The import lines that a text needs."""
    standard = [line for line, pattern in STANDARD.items() if re.search(pattern, text)]
    if standard:
        yield from (*standard, "")
    for line, pattern in IMPORTS.items():
        found = sorted(set(re.findall(pattern, text)))
        if found:
            yield line.format(", ".join(found))
