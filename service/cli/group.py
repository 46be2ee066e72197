"""A group of commands, each of which is loaded when it is called."""

import errno
import gc
import os
import signal
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

import click

from service.errors import ConfigurationError, ServiceError

EXIT_FAILED: Final = 1
"""Exit status of a command that could not do what was asked."""

EXIT_CONFIGURATION: Final = 2
"""Exit status of a command that the settings, the catalogue or a filter forbid; click's own for a wrong option."""


_CANNOT_WRITE: Final = frozenset({errno.EACCES, errno.EDQUOT, errno.ENOSPC, errno.EROFS})
"""What a file system says that is full or read-only, as a container's often is."""


class LazyGroup(click.Group):
    """Commands in modules of one package, loaded when they are called; `--help` loads none of them.

    The command `hash-key` is the attribute `command` of the module `hash_key`.

    Args:
        package: Where the modules are.
        summaries: Each command's name and the first sentence of its help.
    """

    def __init__(self, *args: Any, package: str, summaries: Mapping[str, str], **kwargs: Any) -> None:  # noqa: ANN401  # click's own
        super().__init__(*args, **kwargs)
        self._package = package
        self._summaries = summaries

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in order."""
        del ctx
        return sorted(self._summaries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, loaded now; None if there is none."""
        del ctx
        if cmd_name not in self._summaries:
            return None
        # What an import makes stays. Walking it again and again would take a sixth of the time.
        gc.disable()
        try:
            module = import_module(f"{self._package}.{cmd_name.replace('-', '_')}")
        finally:
            gc.enable()
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The names and their summaries."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._summaries[name]) for name in self.list_commands(ctx)])


class CommandLine(LazyGroup):
    """The root of all commands: it turns an error that a command raises on purpose into lines and an exit status."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        _heed_sigterm()
        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            for problem in error.problems:
                click.echo(problem, err=True)
            sys.exit(EXIT_CONFIGURATION)
        except ServiceError as error:
            click.echo(f"{ctx.invoked_subcommand}: {error}", err=True)
            sys.exit(EXIT_FAILED)
        except OSError as error:
            if error.errno not in _CANNOT_WRITE and not _is_without_temporary_folder(error):
                raise
            where = f"{error.filename}: " if error.filename else ""
            remedy = "TMPDIR names a folder for what is written meanwhile"
            click.echo(f"{ctx.invoked_subcommand}: {where}{error.strerror}; {remedy}", err=True)
            sys.exit(EXIT_FAILED)


def _is_without_temporary_folder(error: OSError) -> bool:
    """Whether the library has found no folder for temporary files, which is an error without a file's name."""
    return error.errno == errno.ENOENT and error.filename is None


def _heed_sigterm() -> None:
    """Let SIGTERM end the first process of a container as it ends any other, from before a command is loaded.

    Source: Linux's pid_namespaces(7): such a process gets only those signals for which it has a handler.
    """
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))
