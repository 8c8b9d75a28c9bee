"""The options of a kind: a description made of its constructor's keyword-only arguments."""

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar, Literal, get_type_hints

from pydantic import ConfigDict, create_model

from pyro_vae.described import Described


class Options(Described):
    """The description of one member of a room: its `kind` and the options of that kind."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True
    )
    made_of: ClassVar[tuple[Any, ...]] = ()
    kind: str

    def options(self) -> dict[str, Any]:
        """The keyword arguments of the constructor."""
        return {
            name: getattr(self, name)
            for name in type(self).model_fields
            if name != "kind"
        }

    def __reduce__(self) -> Any:
        """A pickle stores what the class is made of: the class can't be imported by its name."""
        if not self.made_of:
            return super().__reduce__()
        return _restored, (self.made_of, self.__getstate__())


class Custom(Options):
    """A user's object: its type is stored in the description; to load it, pass the object again."""

    kind: Literal["custom"] = "custom"
    type: str


@cache
def options_class(
    room: str, kind: str, constructor: Callable[..., Any]
) -> type[Options]:
    """The options of a kind, from the keyword-only arguments of its constructor."""
    fields: dict[str, Any] = {
        "kind": (Literal[kind], kind),
        **signature_options(constructor),
    }
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
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(target).parameters.items():
        if parameter.kind is not parameter.KEYWORD_ONLY:
            continue
        if name not in hints:
            raise ValueError(
                f"{qualified_name(function)}: option {name!r} needs a type, like {name}: float"
            )
        is_required = parameter.default is parameter.empty
        fields[name] = (hints[name], ... if is_required else parameter.default)
    return fields


def qualified_name(constructor: Any) -> str:
    """The module and the name of a class or a function.

    Example:
        >>> qualified_name(Options)
        'pyro_vae.kind_options.Options'
    """
    module = getattr(constructor, "__module__", "?")
    name = getattr(constructor, "__qualname__", repr(constructor))
    return f"{module}.{name}"
