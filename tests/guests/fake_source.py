"""A kernel source of a few files: real make plays the part of the kernel's build, in a fraction of a second."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

VERSION = "6.1.7"
STEPS = 5

MAKEFILE = """\
VERSION = 6
PATCHLEVEL = 1
SUBLEVEL = 7
allnoconfig:
	@cp $(KCONFIG_ALLCONFIG) $(O)/.config
	@{configure}
linux:
	@for i in 1 2 3 4 5; do echo "  CC      part$$i.o"; done
	@{before}
	@gcc -o $(O)/linux main.c
bzImage:
	@for i in 1 2 3 4 5; do echo "  CC      part$$i.o"; done
	@{before}
	@mkdir -p $(O)/arch/x86/boot && cp image $(O)/arch/x86/boot/bzImage
"""
MAIN = """\
#include <stdio.h>
int main(void) {{ return puts("{version}") < 0; }}
"""


def bzimage(version: str) -> bytes:
    """The head of a boot image of that version; Documentation/x86/boot.rst."""
    head = bytearray(0x1000)
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x20E, 0x300)
    text = f"{version} (someone@somewhere) #1 SMP".encode() + b"\0"
    head[0x500 : 0x500 + len(text)] = text
    return bytes(head)


def fake_tree(folder: Path, *, configure: str = "true", before: str = "true", version: str = VERSION) -> Path:
    """Write the source into `folder`; configure, before: commands that run after configuring, before linking."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Kconfig").write_text("# nothing to choose\n")
    (folder / "Makefile").write_text(MAKEFILE.format(configure=configure, before=before))
    (folder / "main.c").write_text(MAIN.format(version=version))
    (folder / "image").write_bytes(bzimage(version))
    return folder


def packed(tree: Path, name: str = "linux-source-6.1.tar.xz") -> Path:
    """The source as a package has it, beside the tree."""
    archive = tree.parent / name
    subprocess.run(["tar", "-caf", archive, "-C", tree.parent, tree.name], check=True)
    return archive
