"""The users of one or many files, streamed in constant memory."""

from collections.abc import Iterator, Sequence
from typing import Final

from service.files.stored import StoredFile
from service.sends.users.findings import REPEATED, Findings
from service.sends.users.formats import ITEM_COLUMNS, USUAL_COLUMNS, users_of
from service.sends.users.seen import SeenUsers
from service.sends.users.unpack import readable_errors, texts

MAX_NAMED: Final = 3
"""Files that a message names."""


class UsersFiles:
    """Files of users; reading begins anew with each call of `users`.

    Each is CSV with a header, JSON Lines of objects or of ids, or one id a line. It may be packed with gzip or ZIP. The
    content says which.

    Args:
        files: In the order in which they are read.
        column: Of CSV, or key of JSON objects; blank: `user_id`, else `external_id`, however written.
        items: The files name items; blank: `item_id`, else `id`.
    """

    def __init__(self, files: Sequence[StoredFile], column: str = "", *, items: bool = False) -> None:
        self._files = files
        self._column = column
        self._usual = ITEM_COLUMNS if items else USUAL_COLUMNS

    @property
    def name(self) -> str:
        """What messages call them."""
        names = [_name(file) for file in self._files]
        more = f" and {len(names) - MAX_NAMED:,} more" if len(names) > MAX_NAMED else ""
        return ", ".join(names[:MAX_NAMED]) + more

    @property
    def are_far(self) -> bool:
        """Whether reading waits for a network."""
        return any(file.url.startswith("s3://") for file in self._files)

    def users(self, findings: Findings | None = None) -> Iterator[str]:
        """The users in the order of the files, in constant memory.

        Args:
            findings: Hears of each line without a user. Then a user comes once only, for which digests are kept in
                a temporary file; otherwise as often as named.

        Raises:
            UsersFileError: A file cannot be read, is none of the formats, or lacks the column.
        """
        if findings is None:
            yield from (user for _, user in self._named(Findings()))
            return
        seen = SeenUsers()
        try:
            for line, user in self._named(findings):
                if seen.add(user):
                    yield user
                else:
                    findings.note(REPEATED, line)
        finally:
            seen.close()

    def _named(self, findings: Findings) -> Iterator[tuple[int, str]]:
        for file in self._files:
            name = _name(file)
            for text_name, text in texts(file, name):
                # A single file needs no name in front of each line's number.
                findings.source = text_name if len(self._files) > 1 or text_name != name else ""
                with readable_errors(text_name):
                    yield from users_of(text, text_name, self._column, findings, self._usual)


def _name(file: StoredFile) -> str:
    return file.url.removeprefix("file://")
