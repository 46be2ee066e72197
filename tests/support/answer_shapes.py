"""Holds answers to botocore's model, which itself passes over what it does not know."""

import json
import re
from typing import Any

COMMON_ERRORS = {
    "ThrottlingException",
    "InternalFailure",
    "UnknownOperationException",
    "MissingAuthenticationTokenException",
}

_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "double": (int, float),
    "float": (int, float),
    "timestamp": (int, float),
    "boolean": (bool,),
}


def check_answers_of(client: Any) -> None:  # noqa: ANN401  # botocore makes the client's class at run time
    """Let every answer to this client fail the test that has what the model does not have."""
    client.meta.events.register("before-parse", _check)


def _check(operation_model: Any, response_dict: dict[str, Any], **_: Any) -> None:  # noqa: ANN401  # botocore's
    body = response_dict["body"]
    if response_dict["status_code"] >= 300:
        headers = response_dict["headers"]
        code = headers.get("x-amzn-errortype")
        assert code in {shape.name for shape in operation_model.error_shapes} | COMMON_ERRORS, (
            operation_model.name,
            code,
        )
        assert json.loads(body)["message"]
        return
    shape = operation_model.output_shape
    problems = list(problems_of(shape, json.loads(body or b"{}"), operation_model.name)) if shape else []
    assert not problems, problems


def problems_of(shape: Any, value: Any, at: str) -> list[str]:  # noqa: ANN401  # botocore's and JSON
    if shape.type_name == "structure":
        found = [f"{at}.{name} is unknown" for name in value if name not in shape.members]
        found += [f"{at}.{name} is missing" for name in shape.required_members if name not in value]
        for name, member in shape.members.items():
            if name in value:
                found += problems_of(member, value[name], f"{at}.{name}")
        return found
    if shape.type_name == "list":
        return [one for place, item in enumerate(value) for one in problems_of(shape.member, item, f"{at}[{place}]")]
    if shape.type_name == "map":
        return [one for key, item in value.items() for one in problems_of(shape.value, item, f"{at}[{key}]")]
    return _problems_of_scalar(shape, value, at)


def _problems_of_scalar(shape: Any, value: Any, at: str) -> list[str]:  # noqa: ANN401  # botocore's and JSON
    kinds = _KINDS[shape.type_name]
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        return [f"{at} is {value!r}, no {shape.type_name}"]
    if isinstance(value, str):
        enum, pattern = shape.metadata.get("enum"), shape.metadata.get("pattern", "")
        if enum and value not in enum:
            return [f"{at} is {value!r}, none of {enum}"]
        # A place of files is what the test gave, and may be a file:// here. In the model some roles have the pattern of
        # Personalize's own ARNs, which no role of IAM fits.
        is_given = "://" in pattern or at.endswith("roleArn")
        if pattern and r"\p{" not in pattern and not is_given and not re.fullmatch(pattern, value):
            return [f"{at} is {value!r}, not {pattern}"]
        most = shape.metadata.get("max")
        if most is not None and len(value) > most:
            return [f"{at} is longer than {most}"]
    return []
