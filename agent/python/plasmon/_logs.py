"""What workers print, printed by their driver."""

from __future__ import annotations


class Follower:
    """Follows the logs of this job's workers."""

    def __init__(self, session: str, job: int) -> None:
        self._session, self._job = session, job

    def finish(self) -> None:
        """Prints what is left."""
