"""A stand-in for the Amazon Personalize runtime, a process of its own.

It learns from an interactions CSV in Personalize's own columns and answers the wire protocol of the
`personalize-runtime` SDK client, so that a caller needs nothing but
`AWS_ENDPOINT_URL_PERSONALIZE_RUNTIME` to use it. It imports nothing from the rest of `service`.
"""

from service.local_personalize.errors import LocalPersonalizeError

__all__ = ["LocalPersonalizeError"]
