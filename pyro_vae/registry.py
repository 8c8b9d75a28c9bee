"""One registry a room: `kind` -> constructor, whose keyword-only arguments are the options of that
kind.
"""

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, Literal, TypeVar, get_type_hints

from pydantic import ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, create_model
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, SchemaValidator, core_schema

from pyro_vae.described import Described
from pyro_vae.explain import nearest

Constructor = TypeVar("Constructor", bound=Callable[..., Any])


class Options(Described):
    """What describes one member of a room: its `kind` and the options of that kind."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True
    )
    made_of: ClassVar[tuple[Any, ...]] = ()
    kind: str

    def options(self) -> dict[str, Any]:
        """The keyword arguments of the constructor."""
        return {name: getattr(self, name) for name in type(self).model_fields if name != "kind"}

    def __reduce__(self) -> Any:
        """The class of a kind has no name to be found by: a pickle holds what it is made of."""
        return (
            (_restored, (self.made_of, self.__getstate__()))
            if self.made_of
            else super().__reduce__()
        )


class Custom(Options):
    """An object of the user's: the description keeps its type, the object itself is passed in again
    on loading.
    """

    kind: Literal["custom"] = "custom"
    type: str


@cache
def options_class(room: str, kind: str, constructor: Callable[..., Any]) -> type[Options]:
    """The options of a kind, from the keyword-only arguments of its constructor."""
    fields: dict[str, Any] = {"kind": (Literal[kind], kind), **signature_options(constructor)}
    made: type[Options] = create_model(f"{kind}_{room}", __base__=Options, **fields)
    made.made_of = (room, kind, constructor)
    return made


def _restored(made_of: tuple[Any, ...], state: dict[Any, Any]) -> Options:
    restored = options_class(*made_of).model_construct()
    restored.__setstate__(state)
    return restored


def signature_options(function: Callable[..., Any]) -> dict[str, Any]:
    """The keyword-only parameters of a function as pydantic fields: name -> (type, default).

    Raises:
        ValueError: a parameter without a type.
    """
    target = function.__init__ if inspect.isclass(function) else function
    hints = get_type_hints(target, include_extras=True)
    found = {
        name: parameter
        for name, parameter in inspect.signature(target).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    if bare := [name for name in found if name not in hints]:
        raise ValueError(
            f"{place(function)}: option {bare[0]!r} needs a type, like {bare[0]}: float"
        )
    return {
        name: (hints[name], ... if p.default is p.empty else p.default) for name, p in found.items()
    }


def place(constructor: Any) -> str:
    """Where a class or a function is defined.

    Example:
        >>> place(Options)
        'pyro_vae.registry.Options'
    """
    return f"{getattr(constructor, '__module__', '?')}.{getattr(constructor, '__qualname__', repr(constructor))}"


class Registry(Mapping[str, Callable[..., Any]]):
    """The members of one room by `kind`: those registered, and those that installed packages offer
    as entry points.

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
        """Decorator that adds a constructor under `kind`; a definition that is run again replaces
        itself.

        Raises:
            ValueError: the name is another's.
        """
        named: object = kind
        if not isinstance(named, str):
            raise ValueError(
                f"{self.room}: expected a name, @register('my_{self.room}'), got {kind!r}"
            )

        def add(constructor: Constructor) -> Constructor:
            former = Custom if kind == "custom" else self._constructors.get(kind)
            if former is not None and place(former) != place(constructor):
                taken = f"{self.room} kind {kind!r} is registered already, by {place(former)}"
                raise ValueError(f"{taken}; choose another name for {place(constructor)}")
            self._constructors[kind] = constructor
            return constructor

        return add

    def options(self, kind: str) -> type[Options]:
        """The class of the options of a kind."""
        return Custom if kind == "custom" else options_class(self.room, kind, self[kind])

    def build(self, options: Options, *args: Any) -> Any:
        """The member that `options` describe, constructed with the context `args` of its room."""
        if isinstance(options, Custom):
            raise ValueError(
                f"{self.room}: the description names your own {options.type}; pass the object"
            )
        constructor, chosen = self[options.kind], options.options()
        try:
            inspect.signature(constructor).bind(*args, **chosen)
        except TypeError as error:
            expected = f"{len(args)} positional arguments and its options by keyword"
            raise ValueError(
                f"{self.room} {options.kind!r}: expected {place(constructor)} to take {expected}: "
                f"{error}"
            ) from error
        return constructor(*args, **chosen)

    def usable(self) -> Iterator[str]:
        """Every kind that can be had; a warning tells of an entry point that can't be loaded or
        whose name is taken.
        """
        installed = self.installed()
        for kind in self:
            try:
                constructor = self[kind]
            except ValueError as error:
                warnings.warn(str(error), stacklevel=2)
                continue
            for point in installed.get(kind, []):
                if point.value.replace(":", ".") not in {
                    place(constructor),
                    constructor.__module__,
                }:
                    taken = f"is not used: {place(constructor)} has the name"
                    warnings.warn(
                        f"{self.room} kind {kind!r} of package {_said(point)} {taken}", stacklevel=2
                    )
            yield kind

    def installed(self) -> dict[str, list[EntryPoint]]:
        """The entry points of installed packages, by kind."""
        found: dict[str, list[EntryPoint]] = {}
        for point in entry_points(group=f"pyro_vae.{self.room}s"):
            found.setdefault(point.name, []).append(point)
        return found

    def _load(self, kind: str, offers: list[EntryPoint]) -> Callable[..., Any]:
        said = " and ".join(map(_said, offers))
        if len(offers) > 1:
            raise ValueError(
                f"{self.room} kind {kind!r} exists twice, in the packages {said}; uninstall one of "
                "them"
            )
        try:
            constructor = offers[0].load()
        except Exception as error:  # whatever a module of somebody's raises
            why = f"{type(error).__name__}: {error}"
            raise ValueError(
                f"{self.room} kind {kind!r} of package {said} can't be loaded: {why}"
            ) from error
        if not callable(constructor):
            got = type(constructor).__name__
            raise ValueError(
                f"{self.room} kind {kind!r} of package {said}: expected a class or a function, got "
                f"{got}"
            )
        return self._constructors.setdefault(kind, constructor)

    def __getitem__(self, kind: str) -> Callable[..., Any]:
        if kind not in self._constructors and (offers := self.installed().get(kind)):
            return self._load(kind, offers)
        return self._constructors[kind]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._constructors, **self.installed()})

    def __len__(self) -> int:
        return len(list(iter(self)))


def _said(point: EntryPoint) -> str:
    return f"{point.dist.name if point.dist else '?'} ({point.value})"


class Choice:
    """Annotation of a pydantic field that takes a name, a table with `kind`, or `Options`: one
    member of a room.

    The registry is asked at each validation, so a kind may be registered at any time.
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
        """Any kind by its name, or the table of its options; inside one of these tables they are
        only referred to.
        """
        room, outside = self.registry.room, _described.get()
        kinds = outside[room] if room in outside else [*self.registry.usable(), "custom"]
        tables: dict[Any, Any] = {
            kind: self.registry.options(kind).__pydantic_core_schema__ for kind in kinds
        }
        if room in outside:
            tables = {
                k: core_schema.definition_reference_schema(table["ref"])
                for k, table in tables.items()
            }
        token = _described.set({**outside, room: kinds})
        try:
            described = core_schema.tagged_union_schema(tables, discriminator="kind")
            return {"anyOf": [{"enum": kinds[:-1]}, handler(described)]}
        finally:
            _described.reset(token)

    def _validate(self, value: Any) -> Any:
        table = {"kind": value} if isinstance(value, str) else value
        table = table.model_dump() if isinstance(table, Options) else table
        kind = table.get("kind") if isinstance(table, Mapping) else None
        if not isinstance(kind, str) or (kind != "custom" and kind not in self.registry):
            raise self._unknown(value if kind is None else kind)
        return _validator(kind, self.registry.options(kind)).validate_python(table)

    def _unknown(self, got: Any) -> PydanticCustomError:
        room, allowed = self.registry.room, nearest(str(got), list(self.registry))
        if callable(got) or hasattr(got, "log_prob"):  # an object of the user's
            allowed += f"; an object takes the place of a whole {room} only; for a place inside one, register it by a name"
            got = type(got).__name__
        elif isinstance(got, str) and "did you mean" not in allowed:
            allowed += OWN.format(room=room)
        context = {"room": room, "got": repr(got), "allowed": allowed}
        return PydanticCustomError("unknown_kind", "unknown {room} {got}; {allowed}", context)


OWN = "; one of your own? import its module first, or install it with an entry point in the group 'pyro_vae.{room}s'"
_described: ContextVar[dict[str, list[str]]] = ContextVar("_described", default={})  # noqa: B039
"""The kinds of the rooms whose schema is being written."""


@cache
def _validator(kind: str, options: type[Options]) -> SchemaValidator:
    """Validates the table of one kind; its errors are placed below the name of the kind."""
    tables: dict[Any, CoreSchema] = {kind: options.__pydantic_core_schema__}
    return SchemaValidator(core_schema.tagged_union_schema(tables, discriminator="kind"))
