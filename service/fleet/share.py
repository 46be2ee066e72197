"""What a replica may spend when it cannot ask Redis."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """What a replica may spend when it is alone.

    Attributes:
        replicas: The share is one in so many.
        position: Which one, 0-based.
        whole: Whether the share is ours already; until then we have only what is kept back of it.
    """

    replicas: int
    position: int
    whole: bool = True
