"""A model as one file of torch and Pyro, which runs without this library."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pyro_vae.program.counts import COUNTS
from pyro_vae.program.guides import guide
from pyro_vae.program.helpers import HELPERS
from pyro_vae.program.likelihoods import NUMBERS
from pyro_vae.program.networks import assigned
from pyro_vae.program.priors import prior
from pyro_vae.program.rows import likelihood, masked, saved_groups, with_missing
from pyro_vae.program.snippet import Snippet, buffer, refuse
from pyro_vae.spec import Parts, Spec

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
"""

'''

PROGRAMS = """    def model(self, x=None, n=1):
        pyro.module("vae", self)
        with pyro.plate("data", n if x is None else len(x)):
            z = pyro.sample("z", self.prior())
            return pyro.sample("x", self.likelihood(z), obs=x)

    def guide(self, x):
        with pyro.plate("data", len(x)):
            return pyro.sample("z", self.posterior(x))

    def load(self, file):
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


def program_of(spec: Spec, parts: Parts) -> str:
    """The model and the guide as the source of a class VAE.

    Raises:
        ValueError: a part that can't be written in a few lines.
    """
    _refuse_what_has_no_source(spec)
    own: Any = parts
    p_z = prior(parts.prior, spec.prior)
    p_x = _likelihood(spec, own.likelihood.family)
    q_z = guide(own.posterior.family, spec.guide, spec.latent_dim)
    decoder = assigned("decoder", own.likelihood.decoder)
    encoder = assigned("encoder", own.posterior.encoder)
    inputs = _inputs(spec)
    start = [
        *p_z.start,
        *decoder,
        *p_x.start,
        *inputs.start,
        *encoder,
        *q_z.start,
    ]
    methods = {
        f"prior(self):  # {_comment(parts.prior)}": p_z.lines,
        f"likelihood(self, z):  # {_comment(parts.likelihood.family)}": p_x.lines,
        f"posterior(self, x):  # {_comment(parts.posterior.family)}": (
            *inputs.lines,
            *q_z.lines,
        ),
    }
    body = "\n".join([*_class(start, methods), "", PROGRAMS])
    helpers = _helpers(body)
    names = saved_groups(own.likelihood.family) | SAVED
    return _whole(spec, helpers, body, _saved(start, names))


def _whole(spec: Spec, helpers: list[str], body: str, names: Iterable[str]) -> str:
    """All lines of the file."""
    saved = "\n".join(names)
    imports = "\n".join(_imports("".join([*helpers, body])))
    head = HEAD.format(shape=spec.data_shape, size=spec.latent_dim)
    pieces = [f"{head}{imports}\n\n{saved}", *helpers, body]
    return "\n\n\n".join(piece.strip() for piece in pieces) + "\n"


def _saved(start: Iterable[str], names: Mapping[str, str]) -> Iterator[str]:
    """The lines of the names in saved weights that the attributes of a model need, two in each."""
    made = re.findall(r'(?:self\.|register_buffer\(")(\w+)(?=[" ])', "\n".join(start))
    pairs = [
        f'"{mine}": "{theirs}"'
        for mine, theirs in names.items()
        if any(f"{name}.".startswith(mine) for name in made)
    ]
    yield "SAVED = {  # how names begin here, and in saved weights"
    for first in range(0, len(pairs), 2):
        yield f"    {', '.join(pairs[first : first + 2])},"
    yield "}"


def _helpers(body: str) -> list[str]:
    """The functions and classes that a body calls, and that these call."""
    text = body
    for name in reversed(HELPERS):
        if name in set(re.findall(r"(?<![.\w])(\w+)[()]", text)):
            text += HELPERS[name]
    return [helper for helper in HELPERS.values() if helper in text]


def _refuse_what_has_no_source(spec: Spec) -> None:
    """Raise ValueError for what stands outside of the three parts."""
    if spec.context is not None:
        refuse("context", "e(c)", "what it gives into the inputs of prior and networks")
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
    if spec.missing == "none":
        return made
    return with_missing(made, family, getattr(family, "kinds", [kind]))


def _inputs(spec: Spec) -> Snippet:
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
