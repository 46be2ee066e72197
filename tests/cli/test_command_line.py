"""The command line as a whole: which commands there are, and what loading them costs."""

import errno
import importlib
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from service.absent import absent
from service.cli import COMMANDS, main

ROOT = Path(__file__).parents[2]


def command(name: str) -> click.Command:
    found = main.get_command(click.Context(main), name)
    assert found is not None
    return found


def modules_after(code: str) -> list[str]:
    """The modules of the project that are loaded once this code has run."""
    show = "print('\\n'.join(m for m in sys.modules if m.startswith('service.')))"
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; {show}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [line for line in run.stdout.splitlines() if line.startswith("service.")]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_of_each_what_its_own_help_says_first(name: str) -> None:
    assert (command(name).help or "").splitlines()[0] == COMMANDS[name]
    assert CliRunner().invoke(main, [name, "--help"]).output.startswith(f"Usage: main {name} [OPTIONS]")


def test_every_command_of_the_room_is_in_the_list() -> None:
    files = [path.stem for path in (ROOT / "service" / "cli").glob("*.py")]
    holding = {name for name in files if "\ndef command(" in (ROOT / f"service/cli/{name}.py").read_text("utf-8")}

    assert holding | {"local_personalize"} == {name.replace("-", "_") for name in COMMANDS}


def test_a_command_that_does_not_exist_is_a_readable_mistake() -> None:
    result = CliRunner().invoke(main, ["serves"])

    assert result.exit_code == 2
    assert "No such command 'serves'" in result.stderr


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"), "No usable temporary directory"),
        (OSError(errno.EROFS, "Read-only file system", "/out/batch.jsonl"), "/out/batch.jsonl: Read-only file system"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
    ],
    ids=["no temporary folder", "read-only", "full"],
)
def test_a_file_system_that_takes_nothing_is_one_line(
    monkeypatch: pytest.MonkeyPatch, error: OSError, line: str
) -> None:
    """H2: `catalog check` in a container with a read-only root ended with a traceback."""

    def refuse() -> str:
        raise error

    monkeypatch.setattr("tempfile.gettempdir", refuse)
    result = CliRunner().invoke(main, ["catalog", "check", "file:///nowhere.csv"])

    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith(f"catalog: {line}")


@pytest.mark.processes
def test_the_first_process_of_a_container_ends_at_sigterm_while_its_command_is_loaded() -> None:
    """J6: the kernel keeps a signal from it for which it has no handler, so an early SIGTERM was lost."""
    code = (
        "import os, signal; own = os.getpid(); os.getpid = lambda: 1; from service.cli import group, main;"
        "group.import_module = lambda _: os.kill(own, signal.SIGTERM); main(['serve'])"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)

    assert run.returncode == 128 + signal.SIGTERM, run.stderr


@pytest.mark.processes
def test_help_loads_no_command() -> None:
    loaded = modules_after("from service.cli import main; main(['--help'], standalone_mode=False)")

    assert sorted(loaded) == ["service.cli", "service.cli.group", "service.errors"]


@pytest.mark.processes
def test_the_local_personalize_and_the_service_do_not_load_each_other() -> None:
    local = modules_after("import service.cli.local_personalize")
    serve = modules_after("import service.cli.serve")

    assert not {"service.settings", "service.server", "service.wiring"}.intersection(local)
    assert not [name for name in serve if name.startswith("service.local_personalize")]


def test_what_is_loaded_already_is_not_hidden_and_what_was_hidden_can_be_loaded_later() -> None:
    with absent("click", "this_module_is_nowhere", "wave"):
        assert sys.modules["click"] is click
        with pytest.raises(ImportError, match="wave"):
            importlib.import_module("wave")

    assert importlib.import_module("wave").__name__ == "wave"
    assert "this_module_is_nowhere" not in sys.modules
