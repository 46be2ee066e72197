"""The control plane's wire protocol: what the service model of botocore says of each operation.

A call is checked against the model's shapes, and an answer holds nothing that its shape does not have.
Source: botocore/data/personalize/2018-05-22/service-2.json.gz
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape
from botocore.session import get_session

from service.local_personalize.refusals import invalid_input

TARGET_PREFIX: Final = "AmazonPersonalize."

_LOCATION_SCHEME: Final = "(s3|http|https)://"
"""How the model's pattern for a place of files begins; here `file://` is one too."""

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "timestamp": (int, float),
    "integer": (int,),
    "long": (int,),
    "double": (int, float),
    "float": (int, float),
    "boolean": (bool,),
}


@cache
def service_model(service: str = "personalize") -> ServiceModel:
    """The model of the control plane, or of another service; it is read once, in about 20 ms."""
    return get_session().get_service_model(service)


def check_input(operation: str, fields: dict[str, Any], *, service: str = "personalize") -> None:
    """Let a call pass that fits the operation's input.

    Raises:
        Refusal: InvalidInputException with all that is wrong.
    """
    shape = service_model(service).operation_model(operation).input_shape
    problems = list(_problems(shape, fields, ""))
    if problems:
        errors = "error" if len(problems) == 1 else "errors"
        raise invalid_input(f"{len(problems)} validation {errors} detected: {'; '.join(problems)}")


def answer_of(operation: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields that the operation's output has, at every depth; those without a value are left out."""
    shape = service_model().operation_model(operation).output_shape
    shaped: dict[str, Any] = {} if shape is None else _shaped(shape, fields)
    return shaped


def _problems(shape: Shape, value: Any, at: str) -> Iterator[str]:  # noqa: ANN401  # JSON
    if isinstance(shape, StructureShape):
        yield from _structure_problems(shape, value, at)
    elif isinstance(shape, ListShape):
        yield from _list_problems(shape, value, at)
    elif isinstance(shape, MapShape):
        yield from _map_problems(shape, value, at)
    else:
        yield from _scalar_problems(shape, value, at)


def _structure_problems(shape: StructureShape, value: Any, at: str) -> Iterator[str]:  # noqa: ANN401  # JSON
    if not isinstance(value, dict):
        yield _wrong(value, at, "be a structure")
        return
    for name in shape.required_members:
        if value.get(name) is None:
            yield f"Value null at '{_join(at, name)}' failed to satisfy constraint: Member must not be null"
    for name, member in shape.members.items():
        if value.get(name) is not None:
            yield from _problems(member, value[name], _join(at, name))


def _list_problems(shape: ListShape, value: Any, at: str) -> Iterator[str]:  # noqa: ANN401  # JSON
    if not isinstance(value, list):
        yield _wrong(value, at, "be a list")
        return
    yield from _length_problems(shape, value, at)
    for place, one in enumerate(value, 1):
        yield from _problems(shape.member, one, f"{at}.{place}.member")


def _map_problems(shape: MapShape, value: Any, at: str) -> Iterator[str]:  # noqa: ANN401  # JSON
    if not isinstance(value, dict):
        yield _wrong(value, at, "be a map")
        return
    yield from _length_problems(shape, value, at)
    for key, one in value.items():
        yield from _problems(shape.key, key, f"{at} key")
        yield from _problems(shape.value, one, _join(at, key))


def _scalar_problems(shape: Shape, value: Any, at: str) -> Iterator[str]:  # noqa: ANN401  # JSON
    kinds = _TYPES[shape.type_name]
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        yield _wrong(value, at, f"be a {shape.type_name}")
    elif isinstance(value, str):
        yield from _text_problems(shape, value, at)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _range_problems(shape, value, at)


def _text_problems(shape: Shape, value: str, at: str) -> Iterator[str]:
    yield from _length_problems(shape, value, at)
    allowed = shape.metadata.get("enum")
    if allowed and value not in allowed:
        yield _wrong(value, at, f"satisfy enum value set: [{', '.join(allowed)}]")
    pattern = shape.metadata.get("pattern", "")
    # Python's expressions have no \p{...}; what these patterns bound, tags and tokens, is checked where it is used.
    if pattern and r"\p{" not in pattern and not re.fullmatch(_with_files(pattern), value):
        yield _wrong(value, at, f"satisfy regular expression pattern: {pattern}")


def _with_files(pattern: str) -> str:
    return pattern.replace(_LOCATION_SCHEME, "(s3|http|https|file)://")


def _length_problems(shape: Shape, value: str | list[Any] | dict[str, Any], at: str) -> Iterator[str]:
    least, most = shape.metadata.get("min", 0), shape.metadata.get("max")
    if len(value) < least:
        yield _wrong(value, at, f"have length greater than or equal to {least}")
    if most is not None and len(value) > most:
        yield _wrong(value, at, f"have length less than or equal to {most}")


def _range_problems(shape: Shape, value: float, at: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and value < least:
        yield _wrong(value, at, f"have value greater than or equal to {least}")
    if most is not None and value > most:
        yield _wrong(value, at, f"have value less than or equal to {most}")


def _wrong(value: Any, at: str, must: str) -> str:  # noqa: ANN401  # JSON
    shown = str(value)
    shown = shown if len(shown) <= 100 else f"{shown[:100]}..."  # noqa: PLR2004  # a readable line
    return f"Value '{shown}' at '{at}' failed to satisfy constraint: Member must {must}"


def _join(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def _shaped(shape: Shape, value: Any) -> Any:  # noqa: ANN401  # JSON
    if isinstance(shape, StructureShape):
        found = ((name, member, value.get(name)) for name, member in shape.members.items())
        return {name: _shaped(member, one) for name, member, one in found if one is not None}
    if isinstance(shape, ListShape):
        return [_shaped(shape.member, one) for one in value]
    if isinstance(shape, MapShape):
        return {key: _shaped(shape.value, one) for key, one in value.items()}
    return value
