"""List the kinds of priors, likelihoods, guides and all else that has a name, with a line each."""

import argparse
import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pyro_vae.cli.shared import Say

ROOMS = {
    "priors": "pyro_vae.priors.PRIORS",
    "likelihoods": "pyro_vae.likelihoods.LIKELIHOODS",
    "guides": "pyro_vae.guides.GUIDES",
    "networks": "pyro_vae.networks.NETWORKS",
    "objectives": "pyro_vae.objectives.OBJECTIVES",
    "proposals": "pyro_vae.analysis.PROPOSALS",
    "optimizers": "pyro_vae.training.options.OPTIMIZERS",
    "schedules": "pyro_vae.training.options.SCHEDULES",
}
"""Where the registry of each room is: a mapping from the name of a kind to its constructor."""


def arguments(parser: argparse.ArgumentParser) -> None:
    names = ", ".join(ROOMS)
    parser.add_argument(
        "room", nargs="?", choices=list(ROOMS), metavar="ROOM", help=f"one of {names}"
    )


def run(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    rooms = [options.room] if options.room else list(ROOMS)
    described = {room: _described(_registry(room)) for room in rooms}
    if options.json:
        return described
    width = max(len(kind) for kinds in described.values() for kind in kinds)
    blocks = [
        "\n".join([room, *_lines(kinds, width)]) for room, kinds in described.items()
    ]
    say("\n\n".join(blocks))
    return {}


def _registry(room: str) -> Mapping[str, Callable[..., Any]]:
    module, _, name = ROOMS[room].rpartition(".")
    registry: Mapping[str, Callable[..., Any]] = getattr(
        importlib.import_module(module), name
    )
    return registry


def _lines(kinds: Mapping[str, Mapping[str, Any]], width: int) -> Iterator[str]:
    return (f"  {kind:<{width}}  {about['summary']}" for kind, about in kinds.items())


def _described(registry: Mapping[str, Callable[..., Any]]) -> dict[str, dict[str, Any]]:
    """Each kind with the first sentence of its docstring, and its options."""
    # Packages add kinds to a registry; one that can't be loaded is warned about and left out.
    usable = getattr(registry, "usable", registry.keys)
    return {kind: _about(registry, kind) for kind in sorted(usable())}


def _about(registry: Mapping[str, Callable[..., Any]], kind: str) -> dict[str, Any]:
    constructor = registry[kind]
    options = _options(constructor)
    required = [
        name for name, default in options.items() if default is inspect.Parameter.empty
    ]
    return {
        "summary": summary(inspect.getdoc(constructor)),
        "required": required,
        "defaults": {name: options[name] for name in options if name not in required},
    }


def _options(constructor: Callable[..., Any]) -> dict[str, Any]:
    """The options by name with their defaults: the keyword-only arguments.

    Of torch's optimizers they are all arguments but the parameters.
    """
    parameters = list(inspect.signature(constructor).parameters.values())
    if constructor.__module__.startswith("torch."):
        chosen = parameters[1:]
    else:
        chosen = [one for one in parameters if one.kind is one.KEYWORD_ONLY]
    return {parameter.name: parameter.default for parameter in chosen}


def summary(docstring: str | None) -> str:
    """The first sentence of a docstring, on one line.

    Example:
        >>> summary("p(z) = N(z | 0, I). It is\\nthe usual one.")
        'p(z) = N(z | 0, I).'
    """
    first = " ".join((docstring or "").partition("\n\n")[0].split())
    return re.split(r"(?<=[^.]\.) ", first)[0]
