"""List the kinds of priors, likelihoods, guides, networks and objectives, with one line each."""

import argparse
import ast
import importlib
import inspect
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyro_vae.cli.shared import Say

if TYPE_CHECKING:
    from pyro_vae.registry import Options, Registry

ROOMS = ("priors", "likelihoods", "guides", "networks", "objectives")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "room", nargs="?", choices=ROOMS, metavar="ROOM", help=f"one of {', '.join(ROOMS)}"
    )


def run(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    rooms = [options.room] if options.room else ROOMS
    if options.json:
        return {room: _with_options(room) for room in rooms}
    found = {room: dict(sorted(_sentences(room).items())) for room in rooms}
    width = max(len(kind) for kinds in found.values() for kind in kinds)
    say("\n\n".join("\n".join([room, *_lines(kinds, width)]) for room, kinds in found.items()))
    return {}


def _lines(kinds: Mapping[str, str], width: int) -> Iterator[str]:
    return (f"  {kind:<{width}}  {sentence}" for kind, sentence in kinds.items())


def _sentences(room: str) -> dict[str, str]:
    """The first sentence of each kind; those of this package are read from its files, which needs
    no torch.
    """
    own = dict(
        entry
        for file in _files(room)
        for entry in _registered(ast.parse(file.read_text(encoding="utf-8")))
    )
    return _of_packages(room) | own


def _files(room: str) -> list[Path]:
    return sorted(Path(__file__).parents[1].joinpath(room).glob("*.py"))


def _registered(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The kind and the first sentence of each class or function under `@REGISTRY.register(kind)`."""
    for node in tree.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef):
            continue
        for decorator in node.decorator_list:
            match decorator:
                case ast.Call(
                    func=ast.Attribute(attr="register"), args=[ast.Constant(value=str(kind))]
                ):
                    yield kind, summary(ast.get_docstring(node))


def summary(docstring: str | None) -> str:
    """The first sentence of a docstring, on one line.

    Example:
        >>> summary("p(z) = N(z | 0, I). It is\\nthe usual one.")
        'p(z) = N(z | 0, I).'
    """
    first = " ".join((docstring or "").partition("\n\n")[0].split())
    return re.split(r"(?<=[^.]\.) ", first)[0]


def _of_packages(room: str) -> dict[str, str]:
    """The kinds that installed packages add; only where there are some is the registry imported."""
    if not entry_points(group=f"pyro_vae.{room}"):
        return {}
    registry = _registry(room)
    return {kind: summary(inspect.getdoc(registry[kind])) for kind in registry.usable()}


def _registry(room: str) -> "Registry":
    found: Registry = getattr(importlib.import_module(f"pyro_vae.{room}"), room.upper())
    return found


def _with_options(room: str) -> dict[str, Any]:
    """Each kind with its options: the defaults by name, and the names without one."""
    registry = _registry(room)
    return {
        kind: _described(registry[kind], registry.options(kind))
        for kind in sorted(registry.usable())
    }


def _described(constructor: Any, options: "type[Options]") -> dict[str, Any]:
    fields = {name: field for name, field in options.model_fields.items() if name != "kind"}
    return {
        "summary": summary(inspect.getdoc(constructor)),
        "required": [name for name, field in fields.items() if field.is_required()],
        "defaults": {
            name: field.default for name, field in fields.items() if not field.is_required()
        },
    }
