"""Actors, under the names of ``ray.actor``."""

from __future__ import annotations

from ._actor import ActorClass, ActorHandle, ActorMethod
from ._leaving import exit_actor

__all__ = ["ActorClass", "ActorHandle", "ActorMethod", "exit_actor"]
