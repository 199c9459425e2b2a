"""What a person should know, as long as it is the matter: said once when it begins, and once when it is over."""

from __future__ import annotations

from edge_runtime.gateway.log import Log


class Problems:
    """By what they are about."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._now: dict[str, str] = {}

    def set(self, about: str, what: str | None) -> None:
        """What is the matter; None: nothing is, any more."""
        if what is None:
            if self._now.pop(about, None) is not None:
                self._log("recovered", about=about)
            return
        if about not in self._now:
            self._log("problem", "error", about=about, what=what)
        self._now[about] = what

    def get(self, about: str) -> str | None:
        """What is the matter, or None."""
        return self._now.get(about)

    def __contains__(self, about: str) -> bool:
        return about in self._now

    def values(self) -> list[str]:
        """All of it, one line each."""
        return list(self._now.values())
