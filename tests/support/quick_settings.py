"""What pydantic works out anew of each setting whenever settings are read, worked out once: a quarter of a start."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource
from pydantic_settings.sources import PydanticBaseEnvSettingsSource


@contextmanager
def fields_known() -> Iterator[None]:
    """The names of each setting's variable, and whether its value may be JSON."""
    is_complex, extract = EnvSettingsSource._field_is_complex, PydanticBaseEnvSettingsSource._extract_field_info
    # Each holds its field, so that no other gets its id.
    complexities: dict[int, tuple[FieldInfo, tuple[bool, bool]]] = {}
    extracts: dict[object, tuple[FieldInfo, list[tuple[str, str, bool]]]] = {}

    def complexity_of(source: EnvSettingsSource, field: FieldInfo) -> tuple[bool, bool]:
        if id(field) not in complexities:
            complexities[id(field)] = field, is_complex(source, field)
        return complexities[id(field)][1]

    def extract_of(
        source: PydanticBaseEnvSettingsSource,
        field: FieldInfo,
        field_name: str,
        model_config: Mapping[str, object] | None = None,
    ) -> list[tuple[str, str, bool]]:
        key = (id(field), field_name, source.env_prefix, source.case_sensitive)
        if model_config is not None:
            return extract(source, field, field_name, model_config)
        if key not in extracts:
            extracts[key] = field, extract(source, field, field_name)
        return extracts[key][1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EnvSettingsSource, "_field_is_complex", complexity_of)
        patch.setattr(PydanticBaseEnvSettingsSource, "_extract_field_info", extract_of)
        yield
