"""Every operation of the three services is answered in its shape, or refused by name."""

from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.session import get_session

from service.local_personalize.control.wire import service_model
from tests.support.answer_shapes import problems_of
from tests.support.personalize_account import Account

ARN = "arn:aws:personalize:us-east-1:000000000000:none/none"

SERVICES = ("personalize", "personalize-runtime", "personalize-events")


def _operations(service: str) -> list[str]:
    return sorted(get_session().get_service_model(service).operation_names)


def _example(shape: Any) -> Any:  # noqa: ANN401  # botocore's and JSON
    """A value that has all that the shape requires."""
    if shape.type_name == "structure":
        return {name: _example(shape.members[name]) for name in shape.required_members}
    if shape.type_name == "list":
        return [_example(shape.member)]
    if shape.type_name == "map":
        return {}
    return _scalar(shape)


def _scalar(shape: Any) -> str | int:  # noqa: ANN401  # botocore's
    if "enum" in shape.metadata:
        return str(shape.metadata["enum"][0])
    if shape.type_name == "string":
        if "Arn" in shape.name:
            return ARN
        return "s3://bucket/key" if "://" in shape.metadata.get("pattern", "") else "a"
    return {"boolean": False, "timestamp": 1_700_000_000}.get(shape.type_name, 1)


@pytest.mark.parametrize("service", SERVICES)
def test_every_operation_is_answered_or_refused_with_an_error_that_the_model_has(
    account: Account, service: str
) -> None:
    client = {
        "personalize": account.personalize,
        "personalize-runtime": account.runtime,
        "personalize-events": account.events,
    }[service]
    model = get_session().get_service_model(service)
    unknown = []
    for name in _operations(service):
        # The Put calls of actions bear their list under the name of what is in it.
        fields = _example(model.operation_model(name).input_shape)
        try:
            client._make_api_call(name, fields)
        except ClientError as error:
            message = error.response["Error"]["Message"]
            if error.response["Error"]["Code"] == "UnknownOperationException":
                unknown.append(name)
            assert "Traceback" not in message
    assert unknown == []


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_not_carried_out_says_so_by_name(account: Account, service: str) -> None:
    refused = {
        "personalize": [],
        "personalize-runtime": ["GetActionRecommendations"],
        "personalize-events": ["PutActionInteractions", "PutActions"],
    }[service]
    client = account.runtime if service == "personalize-runtime" else account.events
    model = get_session().get_service_model(service)
    for name in refused:
        with pytest.raises(ClientError, match=r"local Personalize does not"):
            client._make_api_call(name, _example(model.operation_model(name).input_shape))
    assert set(account.control._operations) == set(service_model().operation_names)


def test_a_call_that_the_model_does_not_allow_names_field_and_bound(account: Account) -> None:
    with pytest.raises(
        ClientError, match=r"'name' failed to satisfy constraint: .* less than or equal to 63"
    ) as raised:
        account.personalize.create_dataset_group(name="a" * 64)
    assert raised.value.response["Error"]["Code"] == "InvalidInputException"


def test_an_unknown_operation_is_refused(account: Account) -> None:
    answer = account.server.http.post(
        "/",
        headers={
            "x-amz-target": "AmazonPersonalize.CreateMagic",
            "authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/personalize/aws4_request",
        },
        content=b"{}",
    )
    assert answer.status_code == 400
    assert answer.json()["__type"] == "UnknownOperationException"


def test_the_check_of_answers_sees_what_the_model_lacks() -> None:
    shape = service_model().operation_model("DescribeCampaign").output_shape

    problems = problems_of(shape, {"campaign": {"name": 1, "secret": "x"}}, "answer")

    assert problems == ["answer.campaign.secret is unknown", "answer.campaign.name is 1, no string"]


def test_lists_come_in_pages_and_a_token_of_ones_own_is_refused(account: Account) -> None:
    for place in range(5):
        account.personalize.create_dataset_group(name=f"group-{place}")
    pages = account.personalize.get_paginator("list_dataset_groups").paginate(PaginationConfig={"PageSize": 2})

    assert [len(page["datasetGroups"]) for page in pages] == [2, 2, 1]
    with pytest.raises(account.personalize.exceptions.InvalidNextTokenException):
        account.personalize.list_dataset_groups(nextToken="mine")


def test_recipes_describe_their_algorithm_and_its_hyperparameters(account: Account) -> None:
    recipes = account.personalize.list_recipes(domain="ECOMMERCE")["recipes"]
    assert all(recipe["domain"] == "ECOMMERCE" for recipe in recipes)
    arn = "arn:aws:personalize:::recipe/aws-user-personalization"
    recipe = account.personalize.describe_recipe(recipeArn=arn)["recipe"]

    algorithm = account.personalize.describe_algorithm(algorithmArn=recipe["algorithmArn"])["algorithm"]
    features = account.personalize.describe_feature_transformation(
        featureTransformationArn=recipe["featureTransformationArn"]
    )["featureTransformation"]

    assert algorithm["defaultHyperParameters"]["hidden_dimension"] == "149"
    assert features["defaultParameters"]["max_user_history_length_percentile"] == "0.99"
