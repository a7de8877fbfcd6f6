"""How the retrieval of one terminal ended, and why: the vocabulary of programs, records and tables."""

from __future__ import annotations

from enum import IntEnum


class Outcome(IntEnum):
    """What became of a terminal in a run."""

    PENDING = 0
    RETRIEVED = 1
    FAILED = 2


class Reason(IntEnum):
    """Why an attempt failed, or why a message was refused."""

    NONE = 0
    # the way to the terminal
    REFUSED = 1  # the host answered that the port is closed
    SILENT = 2  # nothing answered the connection request in time
    UNREACHABLE = 3  # the network said that it cannot deliver
    RESET = 4  # the connection broke off in the middle of the exchange
    TIMEOUT = 5  # the peer stopped answering in the middle of the exchange
    LOCAL = 6  # this host ran out of sockets, ports or memory
    # messages
    MALFORMED = 10  # not a message of this protocol
    OVERSIZED = 11  # longer than any message may be
    TRUNCATED = 12  # the peer closed in the middle of a message
    UNEXPECTED = 13  # a good message at the wrong moment
    # identity
    UNKNOWN_DEVICE = 20  # this terminal is another one
    WRONG_KEY = 21  # the proof does not fit the shared key
    REPLAY = 22  # the challenge was used before
    BAD_SEAL = 23  # the information was not sealed with the terminal's own key
    # the run
    DEADLINE = 30  # the run's time was over first
    PROGRAM_LOST = 31  # the ISP server program that had the terminal died
