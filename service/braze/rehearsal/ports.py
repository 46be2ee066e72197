"""What became of a part of a message, as the parts of a rehearsal pass it on."""

from dataclasses import dataclass, field

from service.braze.ports import Heard


@dataclass(slots=True)
class Played:
    """What became of one part of a message, or of the whole message."""

    user: str
    fate: str
    """`rendered`, `blank`, `aborted` or `failed`; a message that holds a mistake is `flawed`."""
    why: str = ""
    """Why it was aborted or failed."""
    texts: list[str] = field(default_factory=list)
    items: list[tuple[str, ...]] = field(default_factory=list)
    """Ids of each call's answer, in order."""
    heard: list[Heard] = field(default_factory=list)
