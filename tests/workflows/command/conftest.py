"""Definitions that are one command, for the tests of commands."""

from __future__ import annotations

HEAD = 'name = "tiny"\nversion = "1"\ntitle = "A tiny command"\n'
MADE = '[outputs.made]\npath = "made.txt"\n'


def shell(script: str, more: str = MADE, resources: str = "") -> str:
    """Return a command that is a shell script of the definition's own, which writes no value into itself."""
    return f"{HEAD}command = ['sh', '-c', '''{script}''']\n{resources}{more}"


def command(arguments: str, inputs: str = "", more: str = MADE, top: str = "") -> str:
    """Return a definition with this command; `inputs` are pairs of name and type, with commas between them."""
    tables = ""
    for pair in filter(None, inputs.split(",")):
        name, kind = pair.split(":")
        tables += f'[inputs.{name.strip()}]\nfrom = "parameter"\ntype = "{kind.strip()}"\n'
    return f"{HEAD}command = {arguments}\n{top}{tables}{more}"
