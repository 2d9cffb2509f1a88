"""The engines of one home by their kind; each is made when it is first asked for, and then kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from labrelay.model.errors import UsageError
from labrelay.workflows.port import Engine


class Engines:
    """What a home can run workflows on, beside the engine of its profile.

    Args:
        makers: How each is made; nothing is asked or written by that.
        missing: Why the home has not the others, and what to do: one sentence each, without a full stop.
    """

    def __init__(self, makers: Mapping[str, Callable[[], Engine]], missing: Mapping[str, str]) -> None:
        self._makers, self._missing = dict(makers), dict(missing)
        self._made: dict[str, Engine] = {}

    @property
    def kinds(self) -> tuple[str, ...]:
        """What there is."""
        return tuple(self._makers)

    def of(self, kind: str) -> Engine:
        """Return the engine of this kind.

        Raises:
            UsageError: The home has none; the text says what is missing.
        """
        if kind not in self._made:
            maker = self._makers.get(kind)
            if maker is None:
                why = self._missing.get(kind, f"there are {', '.join(self._makers)}")
                raise UsageError(f"this home has no engine {kind}: {why}")
            self._made[kind] = maker()
        return self._made[kind]

    @property
    def made(self) -> tuple[Engine, ...]:
        """Those that were asked for so far."""
        return tuple(self._made.values())
