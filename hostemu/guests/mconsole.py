"""The management console of a User-mode Linux kernel: one request, one answer, over a datagram socket.

Structures: arch/um/drivers/mconsole.h of the kernel's source.
"""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import ExitStack
from pathlib import Path

from hostemu.base.errors import GuestError

MAGIC, VERSION = 0xCAFEBABE, 2
DATA_BYTES = 512
PATIENCE_S = 5.0
_REQUEST = struct.Struct(f"=III{DATA_BYTES}s")
_REPLY = struct.Struct("=iII")


def request(path: Path, command: str) -> str:
    """Have the kernel behind the socket `path` carry out a command; GuestError when it refuses or does not answer."""
    own = path.with_name(f"client-{threading.get_ident()}")  # abstract names would be those of our network namespace
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, ExitStack() as undo:
        undo.callback(own.unlink, missing_ok=True)
        sock.settimeout(PATIENCE_S)
        said = []
        try:
            sock.bind(str(own))
            sock.sendto(_REQUEST.pack(MAGIC, VERSION, len(command), command.encode()), str(path))
            more = 1
            while more:
                reply = sock.recv(_REPLY.size + DATA_BYTES)
                error, more, length = _REPLY.unpack_from(reply)
                said.append(reply[_REPLY.size :][:length].decode(errors="replace"))
        except (OSError, struct.error) as problem:
            raise GuestError(f"the management console does not answer {command!r}", found=str(problem)) from problem
    answer = "".join(said).rstrip("\0")
    if error:
        raise GuestError(f"the management console refuses {command!r}", found=answer)
    return answer
