"""The checks of style and structure, run as tests, so that one command says whether the tree is in order."""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULE_LINES = 400
LINE_COLUMNS = 118

PRIVATE_PATH = re.compile(r"(?<![\w.~>)}-])/(?:work|root|home)(?![\w.-])")
REGISTRY_HOST = re.compile(
    r"(?i)\b(?:pypi\.(?:org|python)|pythonhosted\.|proxy\.golang\.|registry\.npmjs\.|crates\.io)"
)

UNREAD = re.compile(r"\.git|\.venv|venv|build|dist|runs|__pycache__|\..*_cache|\.hypothesis|.*\.egg-info")
"""Folders that are no part of the tree, where git cannot tell."""


def run_tool(name: str, *arguments: str) -> None:
    """Run a checker in the root of the tree; fail with all that it said unless it is content."""
    tool = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    if tool is None:
        pytest.fail(f"{name} is not installed; to do: pip install -e '.[test]'", pytrace=False)
    done = subprocess.run([tool, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=280)
    if done.returncode != 0:
        said = f"{done.stdout}\n{done.stderr}".strip()
        pytest.fail(f"{name} {' '.join(arguments)} ended with {done.returncode}:\n{said}", pytrace=False)


def test_ruff_finds_nothing() -> None:
    run_tool("ruff", "check", ".")


def test_ruff_would_format_nothing_differently() -> None:
    run_tool("ruff", "format", "--check", ".")


def test_mypy_finds_nothing() -> None:
    run_tool("mypy", "--strict", "-p", "hostemu")


def test_imports_go_down_the_layers_only() -> None:
    run_tool("lint-imports")


def test_a_tool_that_objects_fails_the_test(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("import os\n")
    with pytest.raises(pytest.fail.Exception, match="F401"):
        run_tool("ruff", "check", "--isolated", "--no-cache", str(bad))


def test_no_module_is_too_long() -> None:
    lengths = {path.relative_to(ROOT): _lines(path) for path in sorted((ROOT / "hostemu").rglob("*.py"))}
    assert len(lengths) > 20
    assert {str(path): count for path, count in lengths.items() if count > MODULE_LINES} == {}


def test_c_sources_are_as_short_as_modules_and_their_lines_as_those_of_python() -> None:
    sources = {path for path in tree() if path.suffix in (".c", ".h")}
    assert len(sources) > 20
    assert [path.name for path in sources if _lines(path) > MODULE_LINES] == []
    assert [path.name for path in sources if max(map(len, path.read_text().splitlines())) > LINE_COLUMNS] == []


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def tree() -> list[Path]:
    """The files that are, or could be, committed."""
    if (ROOT / ".git").exists() and shutil.which("git") is not None:
        command = [
            "git",
            "-c",
            f"safe.directory={ROOT}",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
        paths = [ROOT / name for name in listed.split("\0") if name]
    else:
        paths = [path for path in ROOT.rglob("*") if not any(map(UNREAD.fullmatch, path.relative_to(ROOT).parts))]
    return [path for path in paths if path.is_file()]


def texts() -> Iterator[tuple[Path, str]]:
    """The text files of the tree."""
    for path in tree():
        try:
            yield path.relative_to(ROOT), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def found(pattern: re.Pattern[str]) -> list[str]:
    """file:line: match, for every match in the tree."""
    return [
        f"{path}:{number}: {match[0]}"
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        for match in pattern.finditer(line)
    ]


def test_the_tree_is_read() -> None:
    names = {str(path) for path, _ in texts()}
    assert {"pyproject.toml", "tests/test_style.py", "hostemu/base/units.py"} <= names


def test_no_file_holds_a_path_of_one_machine() -> None:
    assert found(PRIVATE_PATH) == []


def test_no_file_names_a_package_registry() -> None:
    assert found(REGISTRY_HOST) == []


@pytest.mark.parametrize("folder", ["work", "root", "home"])
def test_the_search_sees_private_paths_and_no_others(folder: str) -> None:
    for text in (f"/{folder}/x", f'"/{folder}"', f"cd /{folder}/a/b", f"(/{folder}/a)", f"={'/' + folder}"):
        assert PRIVATE_PATH.search(text), text
    for text in (f"net/{folder}", f"./{folder}", f"/{folder}s", f"a/{folder}/b", f"~/{folder}"):
        assert not PRIVATE_PATH.search(text), text


def test_the_search_sees_registry_hosts() -> None:
    for host in ("pypi" + ".org", "files.python" + "hosted.org", "proxy.go" + "lang.org", "crates" + ".io"):
        assert REGISTRY_HOST.search(f"https://{host}/x"), host
    assert not REGISTRY_HOST.search("the package registry")
