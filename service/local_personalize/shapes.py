"""Calls of the events API against botocore's model of it: what is required, of which type, and how long it may be."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from service.local_personalize.refusals import invalid_input

_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "float": (int, float),
    "double": (int, float),
    "long": (int,),
    "integer": (int,),
    "timestamp": (int, float, str),
    "boolean": (bool,),
}


def check(operation: str, call: object) -> None:
    """Do nothing with a call that the model allows.

    Raises:
        Refusal: InvalidInputException, with the member that is wrong.
    """
    _check(call, _model().operation_model(operation).input_shape, "")


@cache
def _model() -> Any:  # noqa: ANN401  # botocore has no types
    # Reading the model takes a while, and most processes here take no such call.
    import botocore.session  # noqa: PLC0415
    from botocore.model import ServiceModel  # noqa: PLC0415

    loader = botocore.session.get_session().get_component("data_loader")
    return ServiceModel(loader.load_service_model("personalize-events", "service-2"))


def _check(value: object, shape: Any, place: str) -> None:  # noqa: ANN401  # botocore's shapes
    kind = shape.type_name
    if kind == "structure":
        _check_structure(value, shape, place)
    elif kind == "list":
        if not isinstance(value, list):
            raise invalid_input(f"{place} is not a list")
        _check_size(len(value), shape, place, "members")
        for number, one in enumerate(value):
            _check(one, shape.member, f"{place}[{number}]")
    else:
        allowed = _TYPES[kind]
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            raise invalid_input(f"{place} is not a {kind}")
        if isinstance(value, str) and kind == "string":
            _check_size(len(value), shape, place, "characters")
            pattern = shape.metadata.get("pattern")
            if pattern and not re.fullmatch(pattern, value):
                raise invalid_input(f"{place} does not match {pattern}")


def _check_structure(value: object, shape: Any, place: str) -> None:  # noqa: ANN401  # botocore's shapes
    if not isinstance(value, dict):
        raise invalid_input(f"{place or 'The request body'} is not a JSON object")
    prefix = f"{place}." if place else ""
    for name in shape.required_members:
        if value.get(name) is None:
            raise invalid_input(f"{prefix}{name} is required")
    for name, member in shape.members.items():
        if value.get(name) is not None:
            _check(value[name], member, f"{prefix}{name}")


def _check_size(size: int, shape: Any, place: str, unit: str) -> None:  # noqa: ANN401  # botocore's shapes
    least, most = shape.metadata.get("min", 0), shape.metadata.get("max")
    if size < least or (most is not None and size > most):
        raise invalid_input(f"{place} has {size} {unit}; it must have {least} to {most}")
