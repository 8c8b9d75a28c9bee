"""Registries of kinds: a constructor by name, with its keyword-only arguments as options."""

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, SchemaValidator, core_schema

from pyro_vae.explain import nearest
from pyro_vae.kind_options import Custom, Options, options_class, qualified_name

Constructor = TypeVar("Constructor", bound=Callable[..., Any])


class Registry(Mapping[str, Callable[..., Any]]):
    """The members of one room by `kind`: registered ones, and entry points of installed packages.

    An entry point `name = "module:constructor"` in the group `pyro_vae.priors` (likelihoods,
    guides, networks, objectives) is loaded when its name is first asked for.

    Example:
        >>> toys = Registry("toy")
        >>> @toys.register("unit")
        ... def unit(latent_dim, *, scale: float = 1.0): ...
        >>> toys.options("unit")(scale=2)
        unit_toy(kind='unit', scale=2.0)
    """

    def __init__(self, room: str) -> None:
        self.room = room
        self._constructors: dict[str, Callable[..., Any]] = {}

    def register(self, kind: str) -> Callable[[Constructor], Constructor]:
        """Decorator that adds a constructor under `kind`.

        A definition that is run again, as in a notebook, replaces itself.

        Raises:
            ValueError: the name is taken by another constructor.
        """
        named: object = kind
        if not isinstance(named, str):
            raise ValueError(
                f"{self.room}: expected a name, @register('my_{self.room}'), got {kind!r}"
            )

        def add(constructor: Constructor) -> Constructor:
            former = Custom if kind == "custom" else self._constructors.get(kind)
            if former is not None and qualified_name(former) != qualified_name(
                constructor
            ):
                name = qualified_name(former)
                taken = f"{self.room} kind {kind!r} is registered already, by {name}"
                raise ValueError(
                    f"{taken}; choose another name for {qualified_name(constructor)}"
                )
            self._constructors[kind] = constructor
            return constructor

        return add

    def options(self, kind: str) -> type[Options]:
        """The class of the options of a kind."""
        return (
            Custom if kind == "custom" else options_class(self.room, kind, self[kind])
        )

    def build(self, options: Options, *args: Any) -> Any:
        """The member that `options` describe, constructed with the context `args` of its room."""
        if isinstance(options, Custom):
            raise ValueError(
                f"{self.room}: the description names your own {options.type}; pass the object"
            )
        constructor = self[options.kind]
        chosen = options.options()
        try:
            inspect.signature(constructor).bind(*args, **chosen)
        except TypeError as error:
            name = qualified_name(constructor)
            expected = f"{len(args)} positional arguments and its options by keyword"
            raise ValueError(
                f"{self.room} {options.kind!r}: expected {name} to take {expected}: {error}"
            ) from error
        return constructor(*args, **chosen)

    def usable(self) -> Iterator[str]:
        """Every kind that can be built.

        An entry point that can't be loaded, or whose name is taken, is named in a warning.
        """
        installed = self.installed()
        for kind in self:
            try:
                constructor = self[kind]
            except ValueError as error:
                warnings.warn(str(error), stacklevel=2)
                continue
            name = qualified_name(constructor)
            for point in installed.get(kind, []):
                if point.value.replace(":", ".") not in {name, constructor.__module__}:
                    package = f"{self.room} kind {kind!r} of package {_package(point)}"
                    warnings.warn(
                        f"{package} is not used: {name} has the name", stacklevel=2
                    )
            yield kind

    def installed(self) -> dict[str, list[EntryPoint]]:
        """The entry points of installed packages, by kind."""
        points: dict[str, list[EntryPoint]] = {}
        for point in entry_points(group=f"pyro_vae.{self.room}s"):
            points.setdefault(point.name, []).append(point)
        return points

    def _load(self, kind: str, offers: list[EntryPoint]) -> Callable[..., Any]:
        packages = " and ".join(map(_package, offers))
        what = f"{self.room} kind {kind!r}"
        if len(offers) > 1:
            raise ValueError(
                f"{what} exists twice, in the packages {packages}; uninstall one of them"
            )
        try:
            constructor = offers[0].load()
        except Exception as error:  # the import of a package may raise anything
            why = f"{type(error).__name__}: {error}"
            raise ValueError(
                f"{what} of package {packages} can't be loaded: {why}"
            ) from error
        if not callable(constructor):
            got = type(constructor).__name__
            raise ValueError(
                f"{what} of package {packages}: expected a class or a function, got {got}"
            )
        return self._constructors.setdefault(kind, constructor)

    def __getitem__(self, kind: str) -> Callable[..., Any]:
        if not isinstance(kind, str):  # of a description, where it may be anything
            raise KeyError(kind)
        if kind not in self._constructors and (offers := self.installed().get(kind)):
            return self._load(kind, offers)
        return self._constructors[kind]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._constructors, **self.installed()})

    def __len__(self) -> int:
        return len(list(iter(self)))


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name if point.dist else '?'} ({point.value})"


class Choice:
    """Annotation of a pydantic field that takes one member of a room.

    The member is a name, a table with `kind`, or `Options`. The registry is read at each
    validation, so a kind may be registered at any time.
    """

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._validate)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Any kind by its name, or the table of its options.

        Inside one of these tables the same kinds are references, because a kind may contain others
        of its room: a hierarchical prior has a top prior.
        """
        room = self.registry.room
        outside = _described.get()
        kinds = (
            outside[room] if room in outside else [*self.registry.usable(), "custom"]
        )
        tables: dict[Any, Any] = {}
        for kind in kinds:
            table: Any = self.registry.options(kind).__pydantic_core_schema__
            if room in outside:
                table = core_schema.definition_reference_schema(table["ref"])
            tables[kind] = table
        token = _described.set({**outside, room: kinds})
        try:
            described = core_schema.tagged_union_schema(tables, discriminator="kind")
            return {"anyOf": [{"enum": kinds[:-1]}, handler(described)]}
        finally:
            _described.reset(token)

    def _validate(self, value: Any) -> Any:
        table = {"kind": value} if isinstance(value, str) else value
        if isinstance(value, Options):
            table = value.model_dump()
        if not isinstance(table, Mapping) or table.get("kind") is None:
            raise self._unknown(value)
        kind = table["kind"]
        if not isinstance(kind, str) or (
            kind != "custom" and kind not in self.registry
        ):
            raise self._unknown(kind)
        return _validator(kind, self.registry.options(kind)).validate_python(table)

    def _unknown(self, got: Any) -> PydanticCustomError:
        room = self.registry.room
        allowed = nearest(str(got), list(self.registry))
        if callable(got) or hasattr(got, "log_prob"):  # a user's object
            allowed += OBJECT.format(room=room)
            got = type(got).__name__
        elif isinstance(got, str) and "did you mean" not in allowed:
            allowed += OWN.format(room=room)
        context = {"room": room, "got": repr(got), "allowed": allowed}
        return PydanticCustomError(
            "unknown_kind", "unknown {room} {got}; {allowed}", context
        )


OBJECT = "; an object can only replace a whole {room}; to use it inside one, register it by a name"
OWN = (
    "; one of your own? import its module first, or install it with an entry point in the group "
    "'pyro_vae.{room}s'"
)
_described: ContextVar[dict[str, list[str]]] = ContextVar("_described", default={})  # noqa: B039
"""The kinds of the rooms whose schema is being written."""


@cache
def _validator(kind: str, options: type[Options]) -> SchemaValidator:
    """Validates the table of one kind; its errors are located below the name of the kind."""
    tables: dict[Any, CoreSchema] = {kind: options.__pydantic_core_schema__}
    return SchemaValidator(
        core_schema.tagged_union_schema(tables, discriminator="kind")
    )
