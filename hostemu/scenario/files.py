"""Finding and reading scenario files, with overrides from the command line."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hostemu.base.errors import ScenarioError
from hostemu.base.resources import data_dir
from hostemu.scenario.model import Scenario
from hostemu.scenario.problems import Problem, Source, known_keys, single_error, unknown_key, validated
from hostemu.scenario.toml import KeyPath, key_lines

SUFFIX = ".toml"
MAXIMUM_FILE_BYTES = 2**20

Document = dict[str, Any]


def load_scenario(name_or_path: str, overrides: Sequence[str] = (), time_scale: float = 1.0) -> Scenario:
    """A shipped scenario by name, or one from a file.

    overrides: "KEY=VALUE" with a dotted key; the value is read as TOML, else taken as text.
    time_scale: how many times faster it is to be played; see Scenario.scaled.
    Raises ScenarioError, which names file, line, key and value, for all problems at once.
    """
    path = _find(name_or_path)
    text = _read(path)
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ScenarioError(f"{path} is not TOML", found=str(error)) from None
    settings = dict(map(_override, overrides))
    for key, (value, _) in settings.items():
        _set(document, key, value)
    source = Source(str(path), key_lines(text), {key: text for key, (_, text) in settings.items()})
    return validated(Scenario, document, source).scaled(time_scale)


def shipped_names() -> list[str]:
    """Names of the scenarios that come with hostemu."""
    return sorted(path.stem for path in data_dir("scenarios").glob(f"*{SUFFIX}"))


def _find(name_or_path: str) -> Path:
    path = Path(name_or_path)
    if path.suffix == SUFFIX or len(path.parts) > 1:
        if path.exists():
            return path
        raise ScenarioError(f"there is no scenario file {name_or_path}", hint=_known_names(path.stem))
    if name_or_path in shipped_names():
        return data_dir("scenarios") / f"{name_or_path}{SUFFIX}"
    if path.is_file():
        return path
    raise ScenarioError(f"there is no scenario named {name_or_path!r}", hint=_known_names(name_or_path))


def _known_names(name: str) -> str:
    names = shipped_names()
    nearest = difflib.get_close_matches(name, names, n=1)
    question = f"did you mean {nearest[0]}? " if nearest else ""
    return f"{question}give a path to a {SUFFIX} file, or one of: {', '.join(names)}"


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAXIMUM_FILE_BYTES + 1)
        text = data.decode()
    except OSError as error:
        raise ScenarioError(f"cannot read scenario file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ScenarioError(f"scenario file {path} is not UTF-8", found=str(error)) from None
    if len(data) > MAXIMUM_FILE_BYTES:
        raise ScenarioError(
            f"scenario file {path} is too long", expected=f"at most {MAXIMUM_FILE_BYTES} bytes", found="more"
        )
    return text


def _override(text: str) -> tuple[KeyPath, tuple[Any, str]]:
    """The key, and the value with the text that it was written as."""
    key, equals, value = text.partition("=")
    path = tuple(part.strip() for part in key.split("."))
    if not equals or not all(path):
        example = '--set lines.isp.delay="5 ms"'
        raise ScenarioError(
            "an override that sets nothing", expected=f"KEY=VALUE, such as {example}", found=repr(text)
        )
    if path not in set(known_keys(Scenario)):
        raise single_error(unknown_key(Scenario, path, Source(f"--set {text}")))
    return path, (_override_value(value.strip()), text)


def _override_value(text: str) -> Any:
    try:
        document = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
    value = document.pop("value")
    return text if document or not isinstance(value, (str, int, float, bool, dict)) else value


def _set(document: Document, key: KeyPath, value: Any) -> None:
    table = document
    for part in key[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            dotted = ".".join(key)
            raise single_error(
                Problem(f"--set {dotted}", f"{part} is not a table in this scenario", found=repr(table))
            )
    table[key[-1]] = value
