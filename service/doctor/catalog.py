"""Whether the catalogue can be read, as a replica reads it."""

import time
from contextlib import AsyncExitStack
from typing import Final

from service.aws.session import AwsSession
from service.catalog.adapters.source import open_source
from service.catalog.ports import ItemCatalog
from service.doctor.findings import Finding, error, ok
from service.errors import ConfigurationError
from service.settings import Settings
from service.wiring.rules import rule_problems

_CHECK: Final = "catalogue"


async def check_catalog(
    settings: Settings, aws: AwsSession, stack: AsyncExitStack
) -> tuple[ItemCatalog | None, list[Finding]]:
    """The catalogue, open until the stack closes it, or what is wrong with it."""
    try:
        source = open_source(
            settings.catalog_url,
            aws=aws,
            column_mapping=settings.column_mapping,
            exclusion_filter=settings.exclusion_filter,
            data_dir=settings.data_dir,
            monotonic=time.monotonic,
        )
        stack.push_async_callback(source.close)
        catalog = await source.load(1)
    except ConfigurationError as failure:
        advice = "personalize-connect catalog check says more"
        return None, [error(_CHECK, problem, advice) for problem in failure.problems]
    stack.callback(catalog.close)
    wrong = [error(_CHECK, problem, "name a column of the catalogue") for problem in rule_problems(settings, catalog)]
    return catalog, [*wrong, ok(_CHECK, f"{len(catalog):,} items of {settings.catalog_url} can be shown")]
