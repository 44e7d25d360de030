"""What programs build of actors again and again, under the names of ``ray.util``."""

from __future__ import annotations

from . import queue
from .actor_pool import ActorPool

__all__ = ["ActorPool", "queue"]
