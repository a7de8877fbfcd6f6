"""From what pydantic finds in a document to one error that names file, line, key, value and what was expected."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hostemu.base.errors import InputError, ScenarioError
from hostemu.scenario.toml import KeyPath

LONGEST_FOUND = 80
ANY = "*"

AnyModel = TypeVar("AnyModel", bound=BaseModel)


@dataclass(frozen=True)
class Source:
    """Where a document comes from.  lines: of its keys.  overrides: keys set otherwise, and the text that did."""

    name: str
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    overrides: Mapping[KeyPath, str] = field(default_factory=dict)

    def place(self, path: KeyPath) -> str:
        """Where a key, or the nearest table around it, was given."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.overrides:
                return f"--set {self.overrides[path[:length]]}"
            if path[:length] in self.lines:
                return f"{self.name}, line {self.lines[path[:length]]}"
        return self.name


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a document."""

    where: str
    what: str
    expected: str | None = None
    found: str | None = None
    hint: str | None = None

    def __str__(self) -> str:
        labels = (("expected", self.expected), ("found", self.found), ("to do", self.hint))
        return "; ".join([f"{self.where}: {self.what}", *(f"{name} {text}" for name, text in labels if text)])


def validated(
    model: type[AnyModel], document: Mapping[str, Any], source: Source, error: type[InputError] = ScenarioError
) -> AnyModel:
    """The document as a model; an `error` that tells everything that is wrong with it."""
    try:
        return model.model_validate(document)
    except ValidationError as caught:
        problems = [_problem(model, item, source) for item in caught.errors(include_url=False)]
        raise _error_of(problems, source, error) from None


def unknown_key(model: type[BaseModel], path: KeyPath, source: Source) -> Problem:
    """The problem of a key that no such file has, with the key that was probably meant."""
    dotted = ".".join(path)
    known = {".".join(key): key for key in known_keys(model)}
    siblings = {key[-1]: name for name, key in known.items() if key[:-1] == path[:-1]}
    near = difflib.get_close_matches(path[-1], siblings, n=1)
    elsewhere = [name for name, key in known.items() if key[-1] == path[-1]]
    nearest = elsewhere or [siblings[name] for name in near] or difflib.get_close_matches(dotted, known, n=1)
    hint = f"did you mean {nearest[0]}?" if nearest else None
    expected = None if nearest or not siblings else f"one of {', '.join(sorted(siblings))}"
    return Problem(source.place(path), f"unknown key {dotted}", expected, hint=hint)


def is_known(model: type[BaseModel], path: KeyPath) -> bool:
    """Whether a model has such a key."""
    return any(
        len(key) == len(path) and all(known in (ANY, part) for known, part in zip(key, path, strict=True))
        for key in known_keys(model)
    )


def known_keys(model: type[BaseModel], path: KeyPath = ()) -> Iterator[KeyPath]:
    """Every key of a model, as written in files; ANY for one that the user names."""
    for name, info in model.model_fields.items():
        key = (*path, info.alias or name)
        yield key
        table = _table_of(info.annotation)
        if table is not None:
            yield from known_keys(table, key)
        named = _named_tables(info.annotation)
        if named is not None:
            yield from known_keys(named, (*key, ANY))


def _table_of(annotation: Any) -> type[BaseModel] | None:
    """The model of a field that is a table, or of one that may be left out."""
    kinds = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _named_tables(annotation: Any) -> type[BaseModel] | None:
    """The model of the tables below a field that the user names."""
    return _table_of(get_args(annotation)[1]) if get_origin(annotation) is dict else None


def _problem(model: type[BaseModel], item: ErrorDetails, source: Source) -> Problem:
    context = item.get("ctx", {})
    path = tuple(map(str, item["loc"])) + tuple(context.get("key", ()))
    dotted = ".".join(path)
    if item["type"] == "missing":
        return Problem(source.place(path[:-1]), f"{dotted} is missing")
    if item["type"] == "extra_forbidden":
        return unknown_key(model, path, source)
    found = context.get("found", _shortened(repr(item["input"])))
    return Problem(source.place(path), f"{dotted} is wrong", _expected(item, context), found)


def _expected(item: ErrorDetails, context: Mapping[str, Any]) -> str:
    if item["type"] in ("quantity", "consistency", "literal_error"):
        return str(context["expected"])
    if item["type"] in ("model_type", "model_attributes_type"):
        return "a table"
    if item["type"] == "string_pattern_mismatch":
        return f"a text like {context['pattern']}"
    return re.sub(r"^(Input|String) should (be )?", "", item["msg"])


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_FOUND else text[: LONGEST_FOUND - 1] + "…"


def _error_of(problems: list[Problem], source: Source, error: type[InputError]) -> InputError:
    if len(problems) == 1:
        only = problems[0]
        return error(f"{only.where}: {only.what}", expected=only.expected, found=only.found, hint=only.hint)
    rows = "".join(f"\n  {problem}" for problem in problems)
    return error(f"{source.name}: {len(problems)} problems{rows}")


def single_error(problem: Problem, error: type[InputError] = ScenarioError) -> InputError:
    """The error of one problem."""
    return _error_of([problem], Source(problem.where), error)
