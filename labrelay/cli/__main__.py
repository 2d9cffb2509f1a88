"""`python -m labrelay.cli` is the `labrelay` command."""

from labrelay.cli.main import main

main()
