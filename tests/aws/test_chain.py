"""What is said of a source of credentials that fails, where the SDK's own chain asks it."""

import logging
from pathlib import Path

import pytest

from service.aws.chain import ask_chain
from service.errors import CredentialsUnavailable

SSO = """[default]
sso_session = s
sso_account_id = 123456789012
sso_role_name = r
[sso-session s]
sso_region = us-east-1
sso_start_url = https://shop.example/start
"""


@pytest.mark.processes
@pytest.mark.parametrize(
    ("profile", "problem"),
    [
        ("[default]\ncredential_process = /bin/echo hello\n", "a source of credentials answered with something that"),
        (
            "[default]\nrole_arn = arn:aws:iam::123456789012:role/r\nweb_identity_token_file = /nowhere/token\n",
            "/nowhere/token: No such file or directory",
        ),
        (SSO, "Error loading SSO Token: Token for s does not exist"),
    ],
    ids=["a program that prints no JSON", "a token that is not there", "nobody has signed in"],
)
async def test_a_source_that_fails_is_named_once_in_words(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    profile: str,
    problem: str,
) -> None:
    """D2: the SDK logged a traceback besides, at each of the looks that go on for ever."""
    (tmp_path / "config").write_text(profile)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    with pytest.raises(CredentialsUnavailable) as caught:
        await ask_chain("us-east-1")

    assert str(caught.value).startswith(problem)
    assert [one.name for one in caplog.records if one.levelno >= logging.WARNING] == []
