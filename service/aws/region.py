"""The region of the SDK's clients."""

import os


def region_name() -> str | None:
    """The region of AWS_REGION, which this SDK does not read; None leaves it to the SDK's own chain.

    Amazon's newer SDKs read AWS_REGION, this one only AWS_DEFAULT_REGION.
    """
    return os.environ.get("AWS_REGION") or None
