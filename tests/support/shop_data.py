"""Data of a small shop as Personalize wants it, to be broken in one place."""

from pathlib import Path

NOW = 1_740_000_000
EVENTS = ("View", "View", "AddToCart", "Purchase")


def interactions(rows: int = 1_200, users: int = 40, items: int = 30) -> list[list[str]]:
    """Header and rows; every user has several, no row is there twice."""
    body = [
        [f"u{at % users}", f"i{(at * 7 + at // users) % items}", EVENTS[at % len(EVENTS)], str(NOW + 60 * at)]
        for at in range(rows)
    ]
    return [["USER_ID", "ITEM_ID", "EVENT_TYPE", "TIMESTAMP"], *body]


def catalogue(items: int = 30) -> list[list[str]]:
    body = [
        [f"i{at}", f"{5 + at}.50", ("toys", "books", "tea")[at % 3], ("true", "false")[at % 2]] for at in range(items)
    ]
    return [["ITEM_ID", "PRICE", "CATEGORY", "IN_STOCK"], *body]


def people(users: int = 40) -> list[list[str]]:
    return [["USER_ID", "AGE"], *([f"u{at}", str(20 + at % 50)] for at in range(users))]


def as_csv(rows: list[list[str]], delimiter: str = ",") -> str:
    return "".join(f"{delimiter.join(row)}\n" for row in rows)


def write_shop(folder: Path) -> None:
    for name, rows in (("interactions", interactions()), ("items", catalogue()), ("users", people())):
        (folder / f"{name}.csv").write_text(as_csv(rows), "utf-8")
