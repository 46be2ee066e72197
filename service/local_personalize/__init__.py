"""A stand-in for Amazon Personalize, a process of its own.

It answers the wire protocols of the SDK's three clients for Personalize, so that a caller needs nothing but their
`AWS_ENDPOINT_URL_...` to use it. Of the rest of `service` it imports only the filter language.

- `control/`: the control plane, from a schema to a campaign. `work/`: the jobs behind it, in child processes.
- `training/`: models and what they are worth. `serving/`: runtime and events for what the control plane made.
- `data`, `learn`, `filters`, `events`: the campaigns that are there from the start, learned from a directory.
- `http`: the application, and the surface that each API is; `app` puts them together.
- `runtime/`: the runtime's API for these. `admin`, `faults`, `access_keys`, `stats`: the side for tests and benchmarks.
- `server`, `command`: the process and its command line.
"""

from service.local_personalize.errors import LocalPersonalizeError

__all__ = ["LocalPersonalizeError"]
