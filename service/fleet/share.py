"""A replica's part of the budget for the time when it cannot ask Redis."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """What a replica may spend on its own.

    Attributes:
        replicas: The budget is divided into this many equal parts.
        position: The replica's part, 0-based.
        whole: Whether Redis has granted all of the part. Until then the replica has only the quarter that is kept back.
    """

    replicas: int
    position: int
    whole: bool = True
