"""The archive that a guest boots: what is in it, and that it is the same for the same files."""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.base.cache import VARIABLE
from hostemu.base.errors import InputError
from hostemu.guests import GuestSpec, image
from hostemu.guests.image import APPLETS, FOLDERS, Entry, agent_program, cpio, image_for, libraries

BUSYBOX = shutil.which("busybox")
needs_busybox = pytest.mark.skipif(BUSYBOX is None, reason="not found: busybox")
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
ENTRIES = st.lists(
    st.builds(
        Entry,
        name=NAMES,
        mode=st.sampled_from(
            [stat.S_IFREG | 0o644, stat.S_IFREG | 0o755, stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777]
        ),
        content=st.binary(max_size=100),
        device=st.tuples(st.integers(0, 255), st.integers(0, 255)),
    ),
    max_size=8,
)


def unpacked(archive: bytes) -> list[Entry]:
    """The entries of a cpio archive, read as cpio(5) and the kernel describe the format "newc"."""
    entries, at = [], 0
    while True:
        head = archive[at : at + 110]
        assert head[:6] == b"070701"
        fields = [int(head[k : k + 8], 16) for k in range(6, 110, 8)]
        mode, size, major, minor, name_size = fields[1], fields[6], *fields[9:12]
        name = archive[at + 110 : at + 110 + name_size]
        assert name.endswith(b"\0")
        at += -(-(110 + name_size) // 4) * 4
        content = archive[at : at + size]
        assert len(content) == size
        at += -(-size // 4) * 4
        if name == b"TRAILER!!!\0":
            assert at == len(archive)
            return entries
        entries.append(Entry(name[:-1].decode(), mode, content, (major, minor)))


def contents(path: Path) -> dict[str, Entry]:
    """The files of an image; no name is there twice, and every folder comes before what is in it."""
    entries = unpacked(gzip.decompress(path.read_bytes()))
    seen: dict[str, Entry] = {}
    for entry in entries:
        assert entry.name not in seen
        parent = os.path.dirname(entry.name)  # noqa: PTH120  names in an archive, not paths
        assert not parent or stat.S_ISDIR(seen[parent].mode), entry.name
        seen[entry.name] = entry
    return seen


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of this test's own; compiled programs are those of the user's."""
    agent = agent_program()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(image, "agent_program", lambda: agent)
    image._image.cache_clear()
    yield tmp_path / "cache"
    image._image.cache_clear()


def image_of(**what: object) -> Path:
    """The image of a guest with these programs or files."""
    return image_for(GuestSpec("imaged", **what))  # type: ignore[arg-type]


@given(ENTRIES)
def test_an_archive_reads_back(entries: list[Entry]) -> None:
    assert unpacked(cpio(entries)) == entries


@needs_busybox
def test_another_program_reads_the_archive(tmp_path: Path) -> None:
    archive = gzip.decompress(image_of().read_bytes())
    listed = subprocess.run([str(BUSYBOX), "cpio", "-t"], input=archive, capture_output=True, check=True)
    assert set(listed.stdout.decode().split()) == set(contents(image_of()))
    folder = tmp_path / "unpacked"
    folder.mkdir()
    names = ["init", "etc/hosts", "bin/busybox", "bin/sh", "own"]
    subprocess.run(
        [str(BUSYBOX), "cpio", "-id", *names], input=archive, cwd=folder, capture_output=True, check=True, timeout=30
    )
    assert (folder / "init").read_bytes() == agent_program().read_bytes()
    assert os.access(folder / "init", os.X_OK)
    assert (folder / "bin/sh").resolve() == folder / "bin/busybox"
    assert (folder / "own").is_dir()


def test_a_bare_guest_has_folders_agent_console_and_what_busybox_can_do() -> None:
    held = contents(image_of())
    assert set(FOLDERS) <= set(held)
    assert held["init"].content == agent_program().read_bytes()
    assert held["init"].mode == stat.S_IFREG | 0o755
    assert held["dev/console"] == Entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    assert b"localhost" in held["etc/hosts"].content
    if BUSYBOX is not None:
        assert held["bin/busybox"].content == Path(BUSYBOX).read_bytes()
        assert all(held[f"bin/{applet}"].content == b"busybox" for applet in APPLETS)


def test_the_same_files_make_the_same_bytes_under_the_same_name(cache: Path, tmp_path: Path) -> None:
    first = image_of(programs=("env", "ls"))
    before = first.read_bytes()
    image._image.cache_clear()
    first.unlink()
    assert image_of(programs=("ls", "env")) == first
    assert first.read_bytes() == before
    assert list((cache / "images").iterdir()) == [first]
    (tmp_path / "file").write_text("x")
    assert image_of(programs=("env", "ls"), files={"/a": tmp_path / "file"}) != first


def test_an_image_that_is_there_is_not_made_again() -> None:
    path = image_of()
    made_ns = path.stat().st_mtime_ns
    image._image.cache_clear()
    assert image_of() == path
    assert path.stat().st_mtime_ns == made_ns


def test_a_program_brings_its_libraries_and_its_loader() -> None:
    program = Path(str(shutil.which("ls")))
    needed = libraries(program)
    held = contents(image_of(programs=("ls",)))
    assert held["bin/ls"].content == program.read_bytes()
    assert needed, "ls of this machine is static"
    for library in needed:
        assert held[str(library).lstrip("/")].content == library.read_bytes()
    assert any("ld-" in library.name for library in needed)


def test_a_static_program_needs_no_library() -> None:
    assert libraries(agent_program()) == []


@needs_busybox
def test_what_was_asked_for_takes_the_place_of_busybox_and_of_settings(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("10.0.0.1 center\n")
    held = contents(
        image_of(programs=("cat",), files={"/etc/hosts": tmp_path / "hosts", "/bin/sh": tmp_path / "hosts"})
    )
    assert held["bin/cat"].content == Path(str(shutil.which("cat"))).read_bytes()
    assert held["etc/hosts"].content == held["bin/sh"].content == b"10.0.0.1 center\n"
    assert held["bin/ls"].content == b"busybox"


def test_files_come_under_their_paths_with_new_folders(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\0\1\2")
    held = contents(image_of(files={"/usr/share/deep/file": tmp_path / "file", "own/file": tmp_path / "file"}))
    assert held["usr/share/deep/file"].content == held["own/file"].content == b"\0\1\2"


def test_modules_are_listed_in_the_order_of_loading() -> None:
    held = contents(image_for(GuestSpec("imaged"), [("b", b"code of b"), ("a", b"code of a")]))
    names = held["modules/order"].content.decode().split()
    assert [held[name.lstrip("/")].content for name in names] == [b"code of b", b"code of a"]


@pytest.mark.parametrize(("name", "package"), [("tbench", "dbench"), ("hostemu-unknown", "hostemu-unknown")])
def test_a_missing_program_is_bad_input_and_the_package_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    monkeypatch.setattr(image, "location", lambda _name: None)
    with pytest.raises(InputError, match=f"cannot have {name}") as caught:
        image_of(programs=(name,))
    assert package in str(caught.value.hint)
    assert caught.value.exit_code == 2


def test_a_file_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(InputError, match="into an image"):
            image_of(files={"/x": path})


def test_nobody_takes_the_agents_place(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="agent"):
        image_of(files={"/init": tmp_path / "x"})


def test_a_program_whose_library_is_missing_is_bad_input(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("not found: cc")
    (tmp_path / "f.c").write_text("int f(void) { return 0; }")
    (tmp_path / "m.c").write_text("int f(void); int main(void) { return f(); }")
    subprocess.run([compiler, "-shared", "-o", tmp_path / "libf.so", tmp_path / "f.c"], check=True)
    command = [compiler, "-o", tmp_path / "program", tmp_path / "m.c", f"-L{tmp_path}", "-lf"]
    subprocess.run(command, check=True)
    with pytest.raises(InputError, match="into an image") as caught:
        image_of(files={"/bin/program": tmp_path / "program"})
    assert "libf.so" in str(caught.value.found)
