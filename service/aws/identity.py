"""Whom AWS takes this process for."""

import asyncio
import os
from dataclasses import dataclass
from typing import Final

import aiohttp
from aiobotocore.config import AioConfig
from botocore import exceptions as sdk
from botocore.session import get_session

from service.aws.session import AwsSession

TIMEOUT_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Identity:
    """What STS says; `account` is empty where it says nothing."""

    account: str = ""
    arn: str = ""
    problem: str = ""
    """Why it says nothing: its own words, or that it cannot be reached."""

    code: str = ""
    """AWS's code of the problem; empty if STS has not answered."""


def may_ask_sts() -> bool:
    """Whether AWS's own STS is the one to ask; a stand-in of Personalize has credentials of its own."""
    stand_in = os.environ.get("AWS_ENDPOINT_URL_PERSONALIZE_RUNTIME")
    return not stand_in or bool(os.environ.get("AWS_ENDPOINT_URL_STS") or os.environ.get("AWS_ENDPOINT_URL"))


async def ask_identity(aws: AwsSession, region: str | None) -> Identity:
    """Whose credentials these are. It needs no right, and costs no transaction.

    Args:
        aws: Gives the credentials.
        region: Whose STS is asked.
    """
    config = AioConfig(
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=TIMEOUT_SECONDS,
        read_timeout=TIMEOUT_SECONDS,
    )
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS + 1), aws.client("sts", config, region) as client:
            output = await client.get_caller_identity()
    except sdk.ClientError as error:
        details = error.response.get("Error", {})
        code = str(details.get("Code", ""))
        return Identity(problem=f"{code}: {' '.join(str(details.get('Message', '')).split())}", code=code)
    except (sdk.BotoCoreError, aiohttp.ClientError, TimeoutError, ValueError) as error:
        return Identity(problem=" ".join(str(error).split()) or "no answer in time")
    return Identity(account=str(output.get("Account", "")), arn=str(output.get("Arn", "")))


def regions_of(service: str) -> list[str]:
    """The regions where the SDK knows the service."""
    session = get_session()
    return [
        region
        for partition in session.get_available_partitions()
        for region in session.get_available_regions(service, partition)
    ]
