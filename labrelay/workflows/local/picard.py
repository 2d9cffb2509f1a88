"""Picard, a Java program: the one on PATH, or the jars that `make picard` has brought to a checkout."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

NAME = "picard"
CHECKOUT = Path(__file__).resolve().parents[3] / ".picard-runtime"
MAIN = "picard.cmdline.PicardCommandLine"
GET_IT = (
    "install it (Bioconda has it) so that `picard` is on PATH, or, in a checkout of Labrelay with Java 17 and Maven, "
    "run `make picard`"
)


def launcher() -> bytes | None:
    """Return a small script that starts the checkout's Picard as Bioconda's does, or None where there is none.

    Options of the JVM stand first: `picard -Xmx4g TOOL NAME=VALUE …`.
    """
    if not (CHECKOUT / ".ready").is_file():
        return None
    home = os.environ.get("JAVA_HOME")
    java = shlex.quote(str(Path(home) / "bin" / "java")) if home else "java"
    jars = shlex.quote(f"{CHECKOUT}/*")
    return (
        '#!/bin/sh\nwhile :; do case "$1" in -X*|-D*) jvm="$jvm $1"; shift ;; *) break ;; esac; done\n'
        f'exec {java} $jvm -cp {jars} {MAIN} "$@"\n'
    ).encode()


def picard_folders() -> tuple[str, ...]:
    """Return what a sandbox has to show so that the checkout's Picard can be started inside of it."""
    return (str(CHECKOUT),) if CHECKOUT.is_dir() else ()
