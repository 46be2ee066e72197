import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.cli import main
from tests.support.processes import ROOT

pytestmark = pytest.mark.processes

CALL = (
    "{% connected_content https://recommendations.example.com/recommendations"
    "?user_id={{${user_id} | url_param_escape}}&num_results=2 :save r %}"
)
GUARD = "{% if r[0].name == blank %}{% abort_message('no items') %}{% endif %}"


def run(folder: Path, template: str, *options: str) -> Result:
    file = folder / "mail.liquid"
    file.write_text(template, "utf-8")
    return CliRunner().invoke(main, ["liquid", "render", str(file), "--user-id", "user 1", *options])


def test_it_shows_what_a_user_gets_and_what_was_called(tmp_path: Path) -> None:
    done = run(tmp_path, CALL + GUARD + "{{ r.size }} for {{${first_name}}}", "--attribute", "first_name=Janet")

    assert (done.exit_code, done.stdout) == (0, "2 for Janet\n")
    assert "call: 200 https://recommendations.example.com/recommendations?user_id=user%201&num_results=2" in done.stderr


def test_every_hard_case_is_shown_by_its_name(tmp_path: Path) -> None:
    done = run(tmp_path, CALL + GUARD + "{{ r[0].price | money }}", "--case", "all")

    assert done.exit_code == 0
    assert [line[4:] for line in done.stdout.splitlines() if line.startswith("--- ")] == [
        *("empty", "one", "popular", "down", "nasty-name", "long-name", "free")
    ]
    assert done.stderr.count("not sent, the template aborted: no items") == 2
    assert "$0.00" in done.stdout


def test_a_blank_message_is_named(tmp_path: Path) -> None:
    done = run(tmp_path, CALL + "{{ r[0].name }}", "--case", "down", "--as", "push")

    assert done.exit_code == 0
    assert "the message is blank" in done.stderr


def test_a_template_that_braze_refuses_fails_with_its_place(tmp_path: Path) -> None:
    done = run(tmp_path, "first\n  {{ 1 | lstrip }}")

    assert done.exit_code == 1
    assert "mail.liquid:2:10: Braze sends nothing: Braze has no filter lstrip: use strip" in done.stderr


def test_content_blocks_come_from_a_folder(tmp_path: Path) -> None:
    blocks = tmp_path / "blocks"
    blocks.mkdir()
    (blocks / "footer.html").write_text("<p>bye</p>", "utf-8")

    assert run(tmp_path, "{{content_blocks.${footer}}}", "--blocks", str(blocks)).stdout == "<p>bye</p>\n"


def test_the_mark_that_windows_writes_before_a_text_is_not_sent(tmp_path: Path) -> None:
    blocks = tmp_path / "blocks"
    blocks.mkdir()
    (blocks / "footer.html").write_text("bye", "utf-8-sig")

    assert run(tmp_path, "\ufeffa{{content_blocks.${footer}}}", "--blocks", str(blocks)).stdout == "abye\n"


@pytest.mark.parametrize(
    "options",
    [
        *(("--attribute", "name"), ("--case", "nobody"), ("--as", "letter"), ("--service", "ftp://a.example")),
        *(("--service", "a.example"), ("--service", "http://[::1"), ("--service", "https://a.example:99999")),
    ],
)
def test_a_wrong_option_is_refused(tmp_path: Path, options: tuple[str, str]) -> None:
    assert run(tmp_path, "a", *options).exit_code == 2


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.liquid").write_bytes(b"\xff\xfe")

    done = CliRunner().invoke(main, ["liquid", "render", str(tmp_path / "a.liquid"), "--user-id", ""])

    assert (done.exit_code, "is not UTF-8" in done.stderr) == (2, True)


def test_without_python_liquid_one_line_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['liquid'] = None; from service.cli import main; main(['liquid', 'lint', 'LICENSE'])"
    )

    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("python-liquid is not installed. In a checkout, .venv/bin/pip install --require-hashes -r")
