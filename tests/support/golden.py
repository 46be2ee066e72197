"""python-liquid's golden cases of Liquid: what a template renders to in Shopify's own engine.

The release that holds them is not the one that we use. `make test` puts it aside; only these modules of it are read.
"""

import importlib.util
import os
import pkgutil
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple

import pytest

from tests.support.processes import ROOT

GOLDEN: Final = ROOT / ".venv/golden/liquid/golden"
_NAME: Final = "liquid.golden"


class Golden(NamedTuple):
    """A case.

    Attributes:
        group: The filter or tag that it is about: `sort_filter`, `for_tag`.
        values: The variables.
        result: None where Liquid refuses the template.
    """

    group: str
    name: str
    template: str
    values: Mapping[str, Any]
    result: str | None


def golden_cases() -> list[Golden]:
    """Every case without partials; skips the test, or in CI fails it, where they are not installed."""
    if not GOLDEN.is_dir():
        problem = "no golden cases of Liquid: `make test` fetches them"
        if os.environ.get("GOLDEN_TESTS") == "required":
            pytest.fail(problem)
        pytest.skip(problem)
    package = _loaded(GOLDEN)
    try:
        return [case for one in pkgutil.iter_modules(package.__path__) for case in _cases(one.name)]
    finally:
        for name in [one for one in sys.modules if one == _NAME or one.startswith(f"{_NAME}.")]:
            del sys.modules[name]


def _loaded(folder: Path) -> ModuleType:
    """The package under the name by which its modules import each other."""
    spec = importlib.util.spec_from_file_location(
        _NAME, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[_NAME] = package
    spec.loader.exec_module(package)
    return package


def _cases(group: str) -> Iterator[Golden]:
    for case in getattr(import_module(f"{_NAME}.{group}"), "cases", ()):
        if not case.partials:
            result = None if case.error else case.expect
            yield Golden(group, case.description, case.template, case.globals, result)
