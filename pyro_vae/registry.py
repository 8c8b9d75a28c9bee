"""One registry a room: `kind` -> constructor, whose keyword-only arguments are the options of that kind."""

import difflib
import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, Union, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, create_model
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

Constructor = TypeVar("Constructor", bound=Callable[..., Any])


class Options(BaseModel):
    """What describes one member of a room: its `kind` and the options of that kind."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True, defer_build=True)
    kind: str

    def options(self) -> dict[str, Any]:
        """The keyword arguments of the constructor."""
        return {name: getattr(self, name) for name in type(self).model_fields if name != "kind"}


class Custom(Options):
    """An object of the user's: the description keeps its type, the object itself is passed in again on loading."""

    kind: Literal["custom"] = "custom"
    type: str


def nearest(word: str, allowed: list[str]) -> str:
    """The sentence about what is allowed: `allowed: 'a', 'b'; did you mean 'a'?`.

    Example:
        >>> nearest("bernouli", ["bernoulli", "normal"])
        "allowed: 'bernoulli', 'normal'; did you mean 'bernoulli'?"
    """
    close = difflib.get_close_matches(word, allowed, n=1)
    return "allowed: " + ", ".join(map(repr, allowed)) + (f"; did you mean {close[0]!r}?" if close else "")


def signature_options(function: Callable[..., Any]) -> dict[str, Any]:
    """The keyword-only parameters of a function as pydantic fields: name -> (type, default)."""
    target = function.__init__ if inspect.isclass(function) else function
    hints = get_type_hints(target, include_extras=True)
    return {
        name: (hints[name], ... if parameter.default is parameter.empty else parameter.default)
        for name, parameter in inspect.signature(target).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }


class Registry(Mapping[str, Callable[..., Any]]):
    """The members of one room by `kind`.

    Example:
        >>> priors = Registry("prior")
        >>> @priors.register("unit")
        ... def unit(latent_dim, *, scale: float = 1.0): ...
        >>> priors.options("unit")(scale=2)
        unit_prior(kind='unit', scale=2.0)
    """

    def __init__(self, room: str) -> None:
        self.room = room
        self._constructors: dict[str, Callable[..., Any]] = {}
        self.options = cache(self._options)

    def register(self, kind: str) -> Callable[[Constructor], Constructor]:
        """Decorator that adds a constructor under `kind`. Raises ValueError where the name is taken."""
        if kind in self._constructors or kind == "custom":
            raise ValueError(f"{self.room} kind {kind!r} is registered already; choose another name")

        def add(constructor: Constructor) -> Constructor:
            self._constructors[kind] = constructor
            return constructor

        return add

    def build(self, options: Options, *args: Any) -> Any:
        """The member that `options` describe, constructed with the context `args` of its room."""
        return self[options.kind](*args, **options.options())

    def _options(self, kind: str) -> type[Options]:
        fields = signature_options(self[kind])
        return create_model(f"{kind}_{self.room}", __base__=Options, kind=(Literal[kind], kind), **fields)  # type: ignore[arg-type]

    def __getitem__(self, kind: str) -> Callable[..., Any]:
        return self._constructors[kind]

    def __iter__(self) -> Iterator[str]:
        return iter(self._constructors)

    def __len__(self) -> int:
        return len(self._constructors)


class Choice:
    """Annotation of a pydantic field that takes a name, a table with `kind`, or `Options`: one member of a room."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        members = [*map(self.registry.options, self.registry), Custom]
        union: Any = members[0] if len(members) == 1 else Union[tuple(members)]  # noqa: UP007
        described = handler.generate_schema(Annotated[union, Field(discriminator="kind")])
        return core_schema.no_info_before_validator_function(self._normalise, described)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"enum": list(self.registry)}, handler(schema)]}

    def _normalise(self, value: Any) -> Any:
        """A bare name becomes a table, and an unknown kind is refused here, with the nearest that is known."""
        table = {"kind": value} if isinstance(value, str) else value
        if isinstance(table, Options):
            return table.model_dump()
        kind = table.get("kind") if isinstance(table, Mapping) else None
        if kind not in (*self.registry, "custom"):
            got = repr(value if kind is None else kind)
            raise PydanticCustomError(
                "unknown_kind",
                "unknown {room} {got}; {allowed}",
                {"room": self.registry.room, "got": got, "allowed": nearest(str(kind), list(self.registry))},
            )
        return table
