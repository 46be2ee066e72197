"""`personalize-connect local-personalize`."""

from service.local_personalize.command import command

__all__ = ["command"]
