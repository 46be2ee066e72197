"""Answers as Personalize's runtime does, later and with one list: `python -m bench.upstream PORT ITEMS MILLISECONDS`.

The local Personalize computes each list, which takes more of a core than the service that is measured. This one costs
some 20 us a call, so that 500 calls a second and the load for them fit on one core.
"""

import asyncio
import csv
import json
import sys
from pathlib import Path
from typing import cast

import uvloop

LISTED = 25


class _Upstream(asyncio.Protocol):
    def __init__(self, answer: bytes, seconds: float) -> None:
        self._answer = answer
        self._seconds = seconds
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n") + 4) >= 4:  # the blank line itself
            head = self._received[:end].lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0] or 0)
            if len(self._received) < end + length:
                return
            self._received = self._received[end + length :]
            if not head.startswith(b"get / "):
                asyncio.get_running_loop().call_later(self._seconds, self._write, self._answer)
            else:
                self._write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    def _write(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


async def _serve(port: int, items: Path, seconds: float) -> None:
    with items.open(newline="", encoding="utf-8") as file:
        ids = [row["id"] for row in csv.DictReader(file)][:LISTED]
    listed = [{"itemId": one, "score": 0.5 / place} for place, one in enumerate(ids, start=1)]
    body = json.dumps({"itemList": listed, "recommendationId": "RID-0-0"}).encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    server = await asyncio.get_running_loop().create_server(lambda: _Upstream(answer, seconds), "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]) / 1000))
