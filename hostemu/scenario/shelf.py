"""Definition files (scenarios, campaigns): shipped ones by name, others by path, with overrides."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from hostemu.base.errors import InputError
from hostemu.base.resources import data_dir
from hostemu.scenario.problems import Problem, Source, is_known, single_error, unknown_key, validated
from hostemu.scenario.toml import KeyPath, key_lines

SUFFIX = ".toml"
MAXIMUM_FILE_BYTES = 2**20

Document = dict[str, Any]
AnyModel = TypeVar("AnyModel", bound=BaseModel)


@dataclass(frozen=True)
class Shelf(Generic[AnyModel]):
    """Definition files of one kind.

    kind: what such a file is called in messages.  folder: of the shipped ones.  example: an override, for messages.
    error: what is raised about a wrong file or override.  pattern: of the names of the folder's files of this kind.
    """

    kind: str
    folder: str
    model: type[AnyModel]
    example: str
    error: type[InputError]
    pattern: str = f"*{SUFFIX}"

    def load(self, name_or_path: str, overrides: Sequence[str] = ()) -> AnyModel:
        """A shipped definition by name, or one from a file.

        overrides: "KEY=VALUE" with a dotted key; the value is read as TOML, else taken as text.
        Raises `error`, which names file, line, key and value, for all problems at once.
        """
        path = self.find(name_or_path)
        text = self._read(path)
        try:
            document = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise self.error(f"{path} is not TOML", found=str(error)) from None
        settings = dict(map(self._override, overrides))
        for key, (value, _) in settings.items():
            self._set(document, key, value)
        source = Source(str(path), key_lines(text), {key: text for key, (_, text) in settings.items()})
        return validated(self.model, document, source, self.error)

    def names(self) -> list[str]:
        """Names of the definitions that come with hostemu."""
        return sorted(path.stem for path in data_dir(self.folder).glob(self.pattern))

    def find(self, name_or_path: str) -> Path:
        """The file that a name or a path means."""
        path = Path(name_or_path)
        if path.suffix == SUFFIX or len(path.parts) > 1:
            if path.exists():
                return path
            raise self.error(f"there is no {self.kind} file {name_or_path}", hint=self._known_names(path.stem))
        if name_or_path in self.names():
            return data_dir(self.folder) / f"{name_or_path}{SUFFIX}"
        if path.is_file():
            return path
        raise self.error(f"there is no {self.kind} named {name_or_path!r}", hint=self._known_names(name_or_path))

    def _known_names(self, name: str) -> str:
        names = self.names()
        nearest = difflib.get_close_matches(name, names, n=1)
        question = f"did you mean {nearest[0]}? " if nearest else ""
        return f"{question}give a path to a {SUFFIX} file, or one of: {', '.join(names)}"

    def _read(self, path: Path) -> str:
        try:
            with path.open("rb") as file:
                data = file.read(MAXIMUM_FILE_BYTES + 1)
            text = data.decode()
        except OSError as error:
            raise self.error(f"cannot read {self.kind} file {path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise self.error(f"{self.kind} file {path} is not UTF-8", found=str(error)) from None
        if len(data) > MAXIMUM_FILE_BYTES:
            raise self.error(
                f"{self.kind} file {path} is too long", expected=f"at most {MAXIMUM_FILE_BYTES} bytes", found="more"
            )
        return text

    def _override(self, text: str) -> tuple[KeyPath, tuple[Any, str]]:
        """The key, and the value with the text that it was written as."""
        key, equals, value = text.partition("=")
        path = tuple(part.strip() for part in key.split("."))
        if not equals or not all(path):
            raise self.error(
                "an override that sets nothing", expected=f"KEY=VALUE, such as {self.example}", found=repr(text)
            )
        if not is_known(self.model, path):
            raise single_error(unknown_key(self.model, path, Source(f"--set {text}")), self.error)
        return path, (_override_value(value.strip()), text)

    def _set(self, document: Document, key: KeyPath, value: Any) -> None:
        table = document
        for part in key[:-1]:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                dotted = ".".join(key)
                what = f"{part} is not a table in this {self.kind}"
                raise single_error(Problem(f"--set {dotted}", what, found=repr(table)), self.error)
        table[key[-1]] = value


def _override_value(text: str) -> Any:
    try:
        document = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
    value = document.pop("value")
    return text if document or not isinstance(value, (str, int, float, bool, dict, list)) else value
