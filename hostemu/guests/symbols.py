"""Addresses of a program's own symbols, from its ELF file (System V ABI, chapter 4; 64 bits, little-endian)."""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_SYMBOL_TABLE = 2
_MAGIC = b"\x7fELF\x02\x01"


@cache
def symbol_address(path: Path, name: str) -> int | None:
    """Where a function or variable of that name is; None when the file does not say."""
    data = path.read_bytes()
    if len(data) < _HEADER.size or not data.startswith(_MAGIC):
        return None
    header = _HEADER.unpack_from(data)
    at, count = header[6], header[12]
    sections = [_SECTION.unpack_from(data, at + k * _SECTION.size) for k in range(count)]
    for section in sections:
        if section[1] == _SYMBOL_TABLE:
            names = sections[section[6]][4]
            for row in range(section[4], section[4] + section[5], _SYMBOL.size):
                symbol = _SYMBOL.unpack_from(data, row)
                first = names + symbol[0]
                if data[first : data.index(b"\0", first)].decode() == name:
                    return int(symbol[4])
    return None
