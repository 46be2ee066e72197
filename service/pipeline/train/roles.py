"""The role that Personalize reads and writes S3 with: its policies, printed or made.

Source: https://docs.aws.amazon.com/personalize/latest/dg/set-required-permissions.html
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from service.aws.blocking import blocking_client
from service.errors import PipelineError
from service.pipeline.train.terms import PipelineTerms

_CONFIG: Final = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard"})
_PRINCIPAL: Final = {"Service": "personalize.amazonaws.com"}


@dataclass(frozen=True, slots=True)
class Role:
    """A role that was made, and what its owner still has to do."""

    arn: str
    bucket_policy: dict[str, Any]


def policies(terms: PipelineTerms) -> dict[str, Any]:
    """What the role trusts, what it may do, and what each bucket must allow: Personalize wants both."""
    return {
        "trust": _trust("ACCOUNT", "REGION"),
        "role": {"Version": "2012-10-17", "Statement": [_access(buckets_of(terms))]},
        "bucket": {
            bucket: {"Version": "2012-10-17", "Statement": [{**_access([bucket]), "Principal": _PRINCIPAL}]}
            for bucket in buckets_of(terms)
        },
    }


def buckets_of(terms: PipelineTerms) -> list[str]:
    """The buckets of data, uploads and outputs."""
    addresses = [one for kind in terms.kinds for one in terms.data.of(kind)]
    addresses += [terms.upload or "", *(batch.output for batch in terms.batch.values())]
    return sorted({one.removeprefix("s3://").partition("/")[0] for one in addresses if one.startswith("s3://")})


def create_role(terms: PipelineTerms) -> Role:
    """Make the role, or bring its policy in line; the bucket's policy stays the owner's.

    Raises:
        PipelineError: IAM refuses it.
    """
    name = f"{terms.name}-personalize"
    try:
        account = blocking_client("sts", _CONFIG).get_caller_identity()["Account"]
        iam = blocking_client("iam", _CONFIG)
        region = blocking_client("personalize", _CONFIG).meta.region_name
        try:
            arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(_trust(account, region)))["Role"][
                "Arn"
            ]
        except iam.exceptions.EntityAlreadyExistsException:
            arn = iam.get_role(RoleName=name)["Role"]["Arn"]
        buckets = buckets_of(terms)
        if buckets:
            document = {"Version": "2012-10-17", "Statement": [_access(buckets)]}
            iam.put_role_policy(RoleName=name, PolicyName="personalize-data", PolicyDocument=json.dumps(document))
    except (ClientError, BotoCoreError) as error:
        raise PipelineError(f"role {name}: {error}") from error
    return Role(str(arn), policies(terms)["bucket"])


def _trust(account: str, region: str) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": _PRINCIPAL,
                "Action": "sts:AssumeRole",
                "Condition": {
                    "StringEquals": {"aws:SourceAccount": account},
                    "StringLike": {"aws:SourceArn": f"arn:aws:personalize:{region}:{account}:*"},
                },
            }
        ],
    }


def _access(buckets: list[str]) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Action": ["s3:GetObject", "s3:ListBucket", "s3:PutObject"],
        "Resource": [arn for bucket in buckets for arn in (f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*")],
    }
