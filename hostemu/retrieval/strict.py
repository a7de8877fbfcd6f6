"""Frozen dataclasses as JSON and back, strictly: every key that is unknown, missing or of a wrong type is named."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from enum import Enum
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from hostemu.base.errors import InputError

T = TypeVar("T")

_WORDS = {int: "an integer", bool: "true or false", str: "a string", bytes: "bytes in hexadecimal"}


class KeyProblem(InputError):
    """The value of one key does not fit."""

    def __init__(self, key: str, expected: str, found: str) -> None:
        super().__init__(f"key {key!r} is wrong" if key else "the whole is wrong", expected=expected, found=found)
        self.key = key
        self.problem = (expected, found)


def from_json(cls: type[T], text: str, file: str) -> T:
    """The dataclass in a JSON text; InputError names file, key, what was expected and what was found."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InputError(f"{file}: not JSON", expected="a JSON object", found=str(error)) from error
    try:
        return _object(cls, value, "")
    except KeyProblem as wrong:
        raise InputError(f"{file}: {wrong.message}", expected=wrong.expected, found=wrong.found) from None


def to_json(value: Any) -> str:
    """JSON text of a dataclass; `from_json` restores it exactly."""
    return json.dumps(_plain(value), indent=1)


def require(is_met: bool, key: str, expected: str, found: object) -> None:
    """For `__post_init__`: the value of `key` is out of bounds unless `is_met`; raises KeyProblem."""
    if not is_met:
        raise KeyProblem(key, expected, repr(found))


def _object(cls: type[T], value: Any, key: str) -> T:
    if not isinstance(value, dict):
        raise KeyProblem(key, "an object", repr(value))
    arguments = dict(_arguments(cls, value, key))
    try:
        return cls(**arguments)
    except KeyProblem as wrong:
        raise KeyProblem(f"{key}.{wrong.key}" if key else wrong.key, *wrong.problem) from None


def _arguments(cls: type[Any], value: dict[str, Any], key: str) -> Iterator[tuple[str, Any]]:
    fields = {field.name: field for field in dataclasses.fields(cls)}
    prefix = f"{key}." if key else ""
    for name in value:
        if name not in fields:
            raise KeyProblem(prefix + name, f"one of {', '.join(fields)}", "an unknown key")
    hints = get_type_hints(cls)
    for name, field in fields.items():
        if name in value:
            yield name, _value(hints[name], value[name], prefix + name)
        elif field.default is dataclasses.MISSING:
            raise KeyProblem(prefix + name, _describe(hints[name]), "nothing: the key is missing")


def _describe(kind: Any) -> str:
    if isinstance(kind, type) and issubclass(kind, Enum):
        return f"one of {', '.join(str(member.value) for member in kind)}"
    return _WORDS.get(kind, "a list" if get_origin(kind) is tuple else "an object")


def _value(kind: Any, value: Any, key: str) -> Any:
    if get_origin(kind) is UnionType:  # something, or nothing
        (something,) = (member for member in get_args(kind) if member is not NoneType)
        return None if value is None else _value(something, value, key)
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise KeyProblem(key, "a list", repr(value))
        return tuple(_value(get_args(kind)[0], item, f"{key}[{at}]") for at, item in enumerate(value))
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _object(kind, value, key)
    try:
        if kind is bytes:
            return bytes.fromhex(value)
        if issubclass(kind, Enum):
            return kind(value)
    except (TypeError, ValueError):
        raise KeyProblem(key, _describe(kind), repr(value)) from None
    if type(value) is not kind:
        raise KeyProblem(key, _describe(kind), repr(value))
    return value


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    return value.value if isinstance(value, Enum) else value
