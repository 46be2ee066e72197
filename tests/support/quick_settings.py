"""What pydantic works out anew of each setting whenever settings are read, worked out once: a third of a start."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource
from pydantic_settings.sources import PydanticBaseEnvSettingsSource, base, utils


@contextmanager
def fields_known() -> Iterator[None]:
    """The names of each setting's variable, whether its value may be JSON, and which settings a source has at all."""
    is_complex, extract = EnvSettingsSource._field_is_complex, PydanticBaseEnvSettingsSource._extract_field_info
    values_of, alias_names = PydanticBaseEnvSettingsSource.__call__, utils._get_alias_names
    # Each holds its field, so that no other gets its id.
    complexities: dict[int, tuple[FieldInfo, tuple[bool, bool]]] = {}
    extracts: dict[object, tuple[FieldInfo, list[tuple[str, str, bool]]]] = {}
    aliases: dict[object, tuple[FieldInfo, tuple[tuple[str, ...], bool]]] = {}

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

    def aliases_of(field_name: str, field: FieldInfo, **rules: Any) -> tuple[tuple[str, ...], bool]:  # noqa: ANN401  # flags
        key = (id(field), *rules.items())
        if key not in aliases:
            aliases[key] = field, alias_names(field_name, field, **rules)
        return aliases[key][1]

    def values_given(source: PydanticBaseEnvSettingsSource) -> dict[str, object]:
        # Without a delimiter, a setting is one variable or more that have its names.
        if not isinstance(source, EnvSettingsSource) or source.env_nested_delimiter:
            return values_of(source)
        whole = source.settings_cls
        given = {
            name: field
            for name, field in whole.model_fields.items()
            if any(variable in source.env_vars for _, variable, _ in extract_of(source, field, name))
        }
        source.settings_cls = SimpleNamespace(model_fields=given, model_config=whole.model_config)  # type: ignore[assignment]  # all that is read of it
        try:
            return values_of(source)
        finally:
            source.settings_cls = whole

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "_get_alias_names", aliases_of)
        patch.setattr(PydanticBaseEnvSettingsSource, "__call__", values_given)
        patch.setattr(EnvSettingsSource, "_field_is_complex", complexity_of)
        patch.setattr(PydanticBaseEnvSettingsSource, "_extract_field_info", extract_of)
        yield
