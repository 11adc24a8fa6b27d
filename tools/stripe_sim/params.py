"""Which parameters a method takes, read from the SDK's generated types when the simulator starts.

An upgrade of the SDK that renames a parameter shows at once: what we send is refused, or what the
simulator honours does not exist any more.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any, Final, ForwardRef, Literal, NotRequired, Required, Union, get_args

import typing_extensions
from stripe import RequestOptions

from tools.stripe_sim.errors import InvalidRequest, MissingParameter, UnknownParameter
from tools.stripe_sim.forms import Form

_INTEGER: Final = re.compile(r"-?[0-9]{1,18}")
_DECIMAL: Final = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,12})?")
_POSITIONS: Final = re.compile(r"[0-9]{1,4}")
_PARAM_CHARACTERS_MAX: Final = 120
_TEXT_CHARACTERS_MAX: Final = 5_000
_NAMES: Final = {**vars(typing), **vars(typing_extensions), "UntypedStripeObject": dict}


@dataclass(slots=True)
class Shape:
    """What a parameter may be; a union of types sets several of these."""

    words: set[str] = field(default_factory=set)
    is_integer: bool = False
    is_boolean: bool = False
    is_decimal: bool = False
    is_text: bool = False
    items: Shape | None = None
    values: Shape | None = None
    fields: Mapping[str, Shape] | None = None
    required: frozenset[str] = frozenset()


@cache
def shape_of(name: str) -> Shape:
    """Return the shape of a params class, such as `checkout.SessionCreateParams`.

    Raises:
        AttributeError: the SDK has no such class.
    """
    package, _, class_name = name.rpartition(".")
    module = import_module(f"stripe.params.{package}" if package else "stripe.params")
    return _fields(getattr(module, class_name))


def _fields(params: type) -> Shape:
    """Read one TypedDict, without the options of a request that the older ones inherit."""
    options = set(RequestOptions.__annotations__)
    names = {**_NAMES, **vars(import_module(params.__module__))}
    found: dict[str, Shape] = {}
    required = set()
    for key, annotation in params.__annotations__.items():
        if key in options:
            continue
        resolved = _resolve(annotation, names)
        if typing.get_origin(resolved) in {NotRequired, typing_extensions.NotRequired}:
            resolved = _resolve(get_args(resolved)[0], names)
        else:
            required.add(key)
        found[key] = _shape(resolved, names)
    return Shape(fields=found, required=frozenset(required))


def _resolve(annotation: Any, names: Mapping[str, Any]) -> Any:
    """Evaluate a forward reference of the generated code."""
    if isinstance(annotation, ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        return eval(annotation, dict(names))  # noqa: S307 - annotations of the installed SDK
    return annotation


def _shape(annotation: Any, names: Mapping[str, Any]) -> Shape:
    shape = Shape()
    _add(shape, annotation, names)
    return shape


def _add(shape: Shape, annotation: Any, names: Mapping[str, Any]) -> None:
    """Let the shape accept one more type."""
    annotation = _resolve(annotation, names)
    origin = typing.get_origin(annotation)
    arguments = get_args(annotation)
    if origin in {Union, types.UnionType, Required, typing_extensions.Required}:
        for one in arguments:
            _add(shape, one, names)
    elif origin in {Literal, typing_extensions.Literal}:
        shape.words |= {str(one) for one in arguments}
    elif origin is list:
        shape.items = _shape(arguments[0], names)
    elif origin is dict:
        shape.values = _shape(arguments[-1], names)
    elif typing_extensions.is_typeddict(annotation):
        _add_object(shape, _fields(annotation))
    else:
        _add_leaf(shape, annotation)


def _add_object(shape: Shape, read: Shape) -> None:
    """Accept the fields of one more object; required is what all of them need."""
    if shape.fields is None:
        shape.fields, shape.required = read.fields, read.required
    else:
        shape.fields = {**shape.fields, **(read.fields or {})}
        shape.required &= read.required


def _add_leaf(shape: Shape, annotation: Any) -> None:
    shape.is_integer |= annotation is int
    shape.is_boolean |= annotation is bool
    shape.is_text |= annotation in {str, Any}
    shape.is_decimal |= getattr(annotation, "__name__", "") in {"float", "Decimal"}


def has(shape: Shape, name: str) -> bool:
    """Say whether there is a parameter of this name, nested ones with a dot."""
    for part in name.split("."):
        fields = (shape.items or shape).fields or {}
        if part not in fields:
            return False
        shape = fields[part]
    return True


def read(shape: Shape, form: Form) -> dict[str, Any]:
    """Return the parameters of a request as Python values.

    Raises:
        UnknownParameter: the method has no such parameter.
        MissingParameter: a required one is absent.
        InvalidRequest: a value is not of its type.
    """
    return _read_fields(shape, form, "")


def _read_fields(shape: Shape, form: Form, path: str) -> dict[str, Any]:
    assert shape.fields is not None
    values = {}
    for key, value in form.items():
        name = _join(path, key)
        if key not in shape.fields:
            raise UnknownParameter(name)
        values[key] = _read_value(shape.fields[key], value, name)
    for key in sorted(shape.required - set(form)):
        raise MissingParameter(_join(path, key))
    return values


def _join(path: str, key: str) -> str:
    return (f"{path}[{key}]" if path else key)[:_PARAM_CHARACTERS_MAX]


def _read_value(shape: Shape, value: str | Form, path: str) -> Any:
    if isinstance(value, str):
        return _read_text(shape, value, path)
    if shape.items is not None and all(_POSITIONS.fullmatch(key) for key in value):
        ordered = sorted(value.items(), key=lambda item: int(item[0]))
        return [_read_value(shape.items, one, _join(path, key)) for key, one in ordered]
    if shape.fields is not None:
        return _read_fields(shape, value, path)
    if shape.values is not None:
        return {key: _read_value(shape.values, one, _join(path, key)) for key, one in value.items()}
    raise InvalidRequest(f"Invalid value: {path} is not an object", param=path)


_LEAVES: Final[tuple[tuple[str, re.Pattern[str], Callable[[str], Any]], ...]] = (
    ("is_integer", _INTEGER, int),
    ("is_boolean", re.compile("true|false"), lambda text: text == "true"),
    ("is_decimal", _DECIMAL, str),
)


def _read_text(shape: Shape, text: str, path: str) -> Any:
    if text in shape.words:
        return text
    for flag, pattern, convert in _LEAVES:
        if getattr(shape, flag) and pattern.fullmatch(text):
            return convert(text)
    # The SDK types every enumeration as open; the API does not.
    if shape.is_text and not shape.words - {""}:
        if len(text) > _TEXT_CHARACTERS_MAX:
            raise InvalidRequest(f"Invalid string: {path} is too long", param=path)
        return text
    raise InvalidRequest(
        f"Invalid value: {path} is not of its type", param=path, code=_code_of(shape)
    )


def _code_of(shape: Shape) -> str | None:
    return "parameter_invalid_integer" if shape.is_integer else None
