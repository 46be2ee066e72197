"""A stand-in for Amazon Personalize, a process of its own.

It learns from an interactions CSV in Personalize's own columns and answers the wire protocol of the
`personalize-runtime` SDK client, so that a caller needs nothing but `AWS_ENDPOINT_URL_PERSONALIZE_RUNTIME` to use it.
Of the rest of `service` it imports only the filter language.

- `data`, `learn`, `filters`: what it knows, and the lists that it makes of it.
- `http`: the application, and the surface that each API is; `app` puts them together.
- `runtime/`: the API of the runtime. `admin`, `faults`, `access_keys`, `stats`: the side for tests and benchmarks.
- `server`, `command`: the process and its command line.
"""

from service.local_personalize.errors import LocalPersonalizeError

__all__ = ["LocalPersonalizeError"]
