import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "service.local_personalize"]


@pytest.mark.processes
def test_it_says_where_it_listens_and_stops_on_ctrl_c(shop: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "--data", str(shop), "--port", "0"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"AWS_ENDPOINT_URL_PERSONALIZE_RUNTIME=(http://127\.0\.0\.1:\d+)", line)
        assert found is not None
        assert httpx.get(f"{found[1]}/_health").status_code == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0
        assert process.stdout.read() == ""


@pytest.mark.processes
def test_the_real_sdk_finds_it_through_nothing_but_the_environment(shop: Path) -> None:
    script = (
        "import boto3; print(boto3.client('personalize-runtime').get_recommendations(campaignArn="
        "'arn:aws:personalize:us-east-1:000000000000:campaign/local', userId='camper0')"
        "['itemList'][0]['itemId'])"
    )
    with subprocess.Popen(
        [*COMMAND, "--data", str(shop), "--port", "0"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split("AWS_ENDPOINT_URL_PERSONALIZE_RUNTIME=")[1].split()[0]
        environment = {
            **os.environ,
            "AWS_ENDPOINT_URL_PERSONALIZE_RUNTIME": url,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
        }
        answer = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
        )
        process.send_signal(signal.SIGINT)
        assert answer.stdout == "tent\n", answer.stderr


@pytest.mark.processes
@pytest.mark.parametrize("content", [None, "USER_ID,ITEM_ID\nann,tent\n"])
def test_unusable_data_stops_the_start_with_one_line(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "interactions.csv").write_text(content, encoding="utf-8")

    result = subprocess.run(
        [*COMMAND, "--data", str(tmp_path), "--port", "0"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 1
    assert result.stderr.startswith("local-personalize: ")
    assert result.stderr.count("\n") == 1
    assert str(tmp_path) in result.stderr


@pytest.mark.processes
def test_a_port_in_use_stops_the_start_with_one_line(shop: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = subprocess.run(
            [*COMMAND, "--data", str(shop), "--port", str(port)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    assert result.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in result.stderr
    assert result.stderr.count("\n") == 1
