"""A page with some of the messages, each in a frame that runs no script and loads nothing but its pictures."""

from collections.abc import Iterable
from html import escape

from service.braze.rehearsal.ports import Played

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src http: https: data:; style-src 'unsafe-inline'">
<title>Rehearsal</title>
<style>
:root { color-scheme: light dark; font: 16px/1.4 system-ui, sans-serif }
body { margin: 1rem } ul { list-style: none; padding: 0; display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)) }
li { border: 1px solid; border-radius: .5rem; padding: .5rem; overflow: hidden }
h2 { font-size: 1rem; margin: 0 0 .5rem; overflow-wrap: anywhere } p { overflow-wrap: anywhere }
iframe { width: 100%; height: 24rem; border: 0; background: #fff }
</style></head><body><h1>Rehearsal: some of the messages</h1><p>"""


def sheet(sample: Iterable[Played], summary: str) -> str:
    """The page.

    Args:
        sample: Messages to show.
        summary: A sentence above them.
    """
    return f"{_HEAD}{escape(summary)}</p><ul>{''.join(map(_entry, sample))}</ul></body></html>\n"


def _entry(played: Played) -> str:
    why = f": {played.why}" if played.why else ""
    heading = f"<h2>{escape(played.user or 'no user id')} &middot; {escape(played.fate + why)}</h2>"
    # Passes that came out alike are shown once.
    frames = "".join(
        f'<iframe sandbox="" loading="lazy" title="{escape(played.user)}" srcdoc="{escape(text)}"></iframe>'
        for text in dict.fromkeys(played.texts)
    )
    return f"<li>{heading}{frames or '<p>nothing</p>'}</li>"
