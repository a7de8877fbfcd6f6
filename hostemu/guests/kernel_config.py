"""Configurations of lean kernels: fragments that name all that is on, and the proof that each line took effect."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).with_name("kernel_configs")
OFF = "n"
_SET = re.compile(r'(#\?\s*)?(CONFIG_\w+)=(y|n|-?\d+|0x[0-9a-fA-F]+|"[^"\\]*")')
_NOT_SET = re.compile(r"(#\?\s*)?# (CONFIG_\w+) is not set")


@dataclass(frozen=True)
class Option:
    """One line of a fragment; wished: sources that do not know the option are content without it."""

    name: str
    value: str
    wished: bool = False

    @property
    def line(self) -> str:
        """The option as kconfig reads and writes it."""
        return f"# {self.name} is not set" if self.value == OFF else f"{self.name}={self.value}"


def fragment_file(kind: str) -> Path:
    """The shipped fragment of a kind of kernel."""
    return FOLDER / f"{kind}.config"


def parse_fragment(text: str) -> tuple[Option, ...]:
    """The options of a fragment; ValueError names a line that is no option, or the second of one option."""
    options: dict[str, Option] = {}
    for number, line in enumerate(text.splitlines(), 1):
        option = _parse_line(line.strip())
        if option is None:
            if line.strip() and (not line.lstrip().startswith("#") or line.lstrip().startswith("#?")):
                raise ValueError(f"line {number} is no option: {line.strip()}")
            continue
        if option.name in options:
            raise ValueError(f"line {number} sets {option.name} a second time")
        options[option.name] = option
    return tuple(options.values())


def _parse_line(line: str) -> Option | None:
    if match := _SET.fullmatch(line):
        return Option(match[2], match[3], wished=match[1] is not None)
    if match := _NOT_SET.fullmatch(line):
        return Option(match[2], OFF, wished=match[1] is not None)
    return None


def allconfig(options: Iterable[Option]) -> str:
    """The file that KCONFIG_ALLCONFIG names: every option, wished ones too; kconfig skips those it does not know."""
    return "".join(f"{option.line}\n" for option in options)


def dropped(options: Iterable[Option], config: str) -> list[str]:
    """The lines, wished ones left out, that did not take effect in a .config.  What it does not name is off."""
    values = dict(_values(config))
    return [option.line for option in options if not option.wished and values.get(option.name, OFF) != option.value]


def _values(config: str) -> Iterator[tuple[str, str]]:
    for line in config.splitlines():
        name, equals, value = line.partition("=")
        if equals and name.startswith("CONFIG_"):
            yield name, value
