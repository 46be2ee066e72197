"""Which files of a directory, or below a prefix, are meant."""


def is_meant(name: str, suffixes: tuple[str, ...] | None) -> bool:
    """Whether a file is taken that an address names only by its directory or prefix.

    Args:
        name: Its path from there on, with `/`.
        suffixes: One of these it must end with; None takes all that are not hidden.
    """
    return not is_hidden(name) and (suffixes is None or name.endswith(suffixes))


def is_hidden(name: str) -> bool:
    """Whether systems put it there, and no person: `.DS_Store`, `__MACOSX/._users.txt`."""
    return any(part.startswith((".", "__MACOSX")) for part in name.split("/"))
