"""How much Linux lets one command be given (execve(2), "Limits on size of arguments and environment")."""

from __future__ import annotations

import os
from collections.abc import Sequence

UNFIT = 65  # EX_DATAERR of sysexits.h: the exit code of who could not start a command for its length
MOST_IN_ONE = 128 * 1024 - 1  # MAX_ARG_STRLEN, without the byte that ends it
MOST_EVER = 6 << 20  # whatever the stack may have
USUAL = 2 << 20  # a quarter of the usual stack of 8 MiB
POINTER = 8
WHAT_TO_DO = "give it fewer values, or write them to a file and give it that"


def too_long(arguments: Sequence[str], here: bool) -> str | None:
    """Return what is too long about a command, as a clause with what to do; None when it may be given.

    Args:
        arguments: The program and its arguments; what is put around them when it runs is not counted.
        here: Whether it runs on this machine, whose own limit then counts; else it is that of most.
    """
    sizes = [len(os.fsencode(argument)) for argument in arguments]
    longest = max(sizes, default=0)
    if longest > MOST_IN_ONE:
        return f"one argument would have {longest:,} bytes, and a command takes {MOST_IN_ONE:,} in one; {WHAT_TO_DO}"
    most, whole = min(os.sysconf("SC_ARG_MAX"), MOST_EVER) if here else USUAL, sum(sizes) + len(sizes) * (POINTER + 1)
    if whole > most:
        return f"{len(sizes):,} arguments would have {whole:,} bytes, and a command takes {most:,}; {WHAT_TO_DO}"
    return None
