"""moto's server, behind a door that counts what is asked and refuses what a test says."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from threading import Event, Thread
from typing import Any, Self

import boto3
from moto.moto_api._internal.models import moto_api_backend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server
from werkzeug.wrappers import Response

THROTTLED = Response(
    json.dumps(
        {"__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException", "message": "slow"}
    ),
    400,
    content_type="application/x-amz-json-1.0",
)

DENIED = Response(
    "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>", 403, content_type="application/xml"
)

_KEY = re.compile(r"Credential=([^/]+)/")


class _KeepsAlive(MotoRequestHandler):
    # Otherwise every connection would be closed by the server, and none could be left behind by the client.
    protocol_version = "HTTP/1.1"

    def log_request(self, *_: object) -> None:
        """Nothing: a test that fails shows what the service logged."""


class Amazon:
    """S3 and DynamoDB on loopback, empty at first; a context manager."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        """By method, in DynamoDB by the operation's name."""

        self.refused: dict[str, Response] = {}
        """What is answered instead."""

        self.refused_keys: dict[str, str] = {}
        """Error codes by access key."""

        self.held: dict[str, Event] = {}
        """What is waited for before anything is answered."""

        moto_api_backend.reset()  # moto's tables and buckets belong to the process
        self._app = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_KeepsAlive)
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def environment(self) -> dict[str, str]:
        """Where the SDK finds it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": "us-east-1",
        }

    def client(self, service: str) -> Any:  # noqa: ANN401  # the SDK makes its clients' classes at run time
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",  # moto takes any
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for event in self.held.values():
            event.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        operation = target.rpartition(".")[2] or environ["REQUEST_METHOD"]
        self.asked[operation] += 1
        if operation in self.held:
            self.held[operation].wait(30)
        answer: Any = self.refused.get(operation, self._app)
        signed = _KEY.search(environ.get("HTTP_AUTHORIZATION", ""))
        if signed and (code := self.refused_keys.get(signed[1])):
            answer = Response(f"<Error><Code>{code}</Code><Message>refused</Message></Error>", 403)
        found: Iterable[bytes] = answer(environ, start_response)
        return found
