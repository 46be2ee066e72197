"""`personalize-connect hash-key`."""

import sys
from getpass import getpass

import click

from service.cli.group import EXIT_FAILED
from service.credentials import hash_key


@click.command("hash-key")
def command() -> None:
    """Print a key as API_KEYS may hold it, or user:password as BASIC_AUTH may.

    A password of fewer than 24 characters gets a slow hash. What is hashed comes from standard input. So it is in no
    list of processes and no shell's history.
    """
    key = getpass("Key: ") if sys.stdin.isatty() else sys.stdin.readline()
    try:
        click.echo(hash_key(key.strip()))
    except ValueError as error:
        click.echo(f"hash-key: {error}", err=True)
        sys.exit(EXIT_FAILED)
