"""Compiling guest programs: static, cached by what they are made of, and clear about what is wrong."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hostemu.base.cache import VARIABLE
from hostemu.base.errors import HostError
from hostemu.guests import toolchain
from hostemu.guests.toolchain import NATIVE, compiled, find_compiler
from hostemu.guests.tsc import tsc_khz

SOURCE = '#include <stdio.h>\n#include "word.h"\nint main(void) { return puts(WORD) < 0; }\n'


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A program, its header, and a cache of this test's own."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    source, header = tmp_path / "program.c", tmp_path / "word.h"
    source.write_text(SOURCE)
    header.write_text('#define WORD "hello"\n')
    return source, header


def make(sources: tuple[Path, Path]) -> Path:
    """The compiled program."""
    return compiled("program", sources[:1], sources[1:])


def said(program: Path) -> str:
    """What a program prints."""
    return subprocess.run([program], capture_output=True, text=True, check=True, timeout=10).stdout


def test_a_program_is_static_and_runs(sources: tuple[Path, Path]) -> None:
    program = make(sources)
    assert said(program) == "hello\n"
    assert os.access(program, os.X_OK)
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    assert "=>" not in listed.stdout


def test_the_same_sources_are_compiled_once(sources: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    program = make(sources)
    made_ns = program.stat().st_mtime_ns
    assert make(sources) == program
    assert program.stat().st_mtime_ns == made_ns
    for path in sources:
        os.utime(path)
    assert make(sources) == program


def test_another_header_source_or_compiler_makes_another_program(
    sources: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = [make(sources)]
    sources[1].write_text('#define WORD "goodbye"\n')
    programs.append(make(sources))
    assert [said(program) for program in programs] == ["hello\n", "goodbye\n"]
    sources[0].write_text(SOURCE + "/* changed */\n")
    programs.append(make(sources))
    other = toolchain.Compiler(find_compiler().path, "another version")
    monkeypatch.setattr(toolchain, "find_compiler", lambda: other)
    programs.append(make(sources))
    assert len(set(programs)) == 4


def test_what_the_compiler_objects_to_is_told(sources: tuple[Path, Path], tmp_path: Path) -> None:
    sources[0].write_text("int main(void) { return undeclared_thing; }\n")
    with pytest.raises(HostError, match="cannot compile program") as caught:
        make(sources)
    assert "undeclared_thing" in str(caught.value.found)
    assert "-static" in str(caught.value.hint)
    assert caught.value.exit_code == 3
    assert list((tmp_path / "cache" / "native").iterdir()) == []


def test_a_machine_without_a_compiler_says_what_to_install(
    sources: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="no C compiler") as caught:
        make(sources)
    assert "musl-tools" in str(caught.value.hint)


def test_many_compile_the_same_at_once(sources: tuple[Path, Path], tmp_path: Path) -> None:
    with ThreadPoolExecutor(6) as compilers:
        programs = {one.result() for one in [compilers.submit(make, sources) for _ in range(6)]}
    (program,) = programs
    assert said(program) == "hello\n"
    assert list((tmp_path / "cache" / "native").iterdir()) == [program]


def test_the_agent_refuses_what_it_does_not_know() -> None:
    agent = compiled("agent", sorted(NATIVE.glob("*.c")))
    done = subprocess.run([agent, "dance"], capture_output=True, text=True, check=False, timeout=10)
    assert done.returncode == 2
    assert "no command that it knows" in done.stderr


def test_the_agent_copies_files_and_becomes_other_programs(tmp_path: Path) -> None:
    agent, content = compiled("agent", sorted(NATIVE.glob("*.c"))), os.urandom(100_000)
    subprocess.run([agent, "put", tmp_path / "file"], input=content, check=True, timeout=10)
    assert (tmp_path / "file").read_bytes() == content
    got = subprocess.run([agent, "get", tmp_path / "file"], capture_output=True, check=True, timeout=10)
    assert got.stdout == content
    absent = subprocess.run([agent, "get", tmp_path / "no"], capture_output=True, text=True, check=False, timeout=10)
    assert (absent.returncode, absent.stderr) == (1, f"{tmp_path / 'no'}: No such file or directory\n")
    launched = [agent, "launch", "RH", "sh", "-c", "cat /proc/self/personality; grep THP_enabled /proc/self/status"]
    told = subprocess.run(launched, capture_output=True, text=True, check=False, timeout=10).stdout
    assert int(told.split()[0], 16) & 0x0040000  # ADDR_NO_RANDOMIZE, personality(2)
    assert told.split()[1:] in ([], ["THP_enabled:", "0"])
    none = subprocess.run([agent, "launch", "R", "hostemu-absent"], capture_output=True, check=False, timeout=10)
    assert none.returncode == 127


def test_two_measurements_of_the_counter_agree() -> None:
    first = tsc_khz()
    if first is None:
        pytest.skip("this machine has no time stamp counter")
    tsc_khz.cache_clear()
    second = tsc_khz()
    assert second is not None
    assert 100_000 < first < 10_000_000
    assert abs(second / first - 1) < 1e-3
