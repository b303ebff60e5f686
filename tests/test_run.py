"""The command line as a user meets it: help, options, errors and exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import run
from jobs.errors import AlreadyWatchedError, JobNotFoundError, StoreDamagedError, WatchConfigError
from model.errors import StyleNotFoundError
from pipeline.errors import BatchError, OutputExistsError, PipelineError, UnsupportedInputError
from pipeline.settings import ConvertSettings

ROOT = Path(__file__).parents[1]


def test_help_lists_the_commands_with_examples() -> None:
    result = CliRunner().invoke(run.cli, ["--help"])
    assert result.exit_code == 0
    for name in ("convert", "demo", "doctor", "faces", "styles", "python run.py demo"):
        assert name in result.output


@pytest.mark.parametrize(
    "command",
    [
        "bench",
        "convert",
        "crop",
        "dashboard",
        "demo",
        "doctor",
        "evaluate",
        "jobs",
        "selftest",
        "styles",
        "train",
        "watch",
    ],
)
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(run.cli, [command, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output


def test_every_setting_is_an_option_with_its_default_shown() -> None:
    output = " ".join(CliRunner().invoke(run.cli, ["convert", "--help"], terminal_width=200).output.split())
    for name in ConvertSettings.__dataclass_fields__:
        assert f"--{name.replace('_', '-')}" in output
    assert "[default: toon]" in output


@pytest.mark.parametrize(
    ("option", "value"), [("--strength", "1.5"), ("--crf", "99"), ("--faces", "none"), ("--codec", "mjpeg")]
)
def test_a_value_out_of_bounds_names_its_option(option: str, value: str) -> None:
    result = CliRunner().invoke(run.cli, ["convert", "x.mp4", option, value])
    assert result.exit_code == 2
    assert option in result.output


def test_an_environment_variable_sets_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UGATIT_CONVERT_FACES", "some")
    result = CliRunner().invoke(run.cli, ["convert", "x.mp4"], auto_envvar_prefix="UGATIT")
    assert result.exit_code == 2
    assert '"some" is no choice of faces' in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnsupportedInputError(), 4),
        (OutputExistsError(), 5),
        (StyleNotFoundError(), 9),
        (PipelineError(), 13),
        (JobNotFoundError(), 14),
        (StoreDamagedError(), 15),
        (AlreadyWatchedError(), 17),
        (WatchConfigError(), 2),
        (BatchError("2 of 3 inputs failed.", [UnsupportedInputError(), OutputExistsError()]), 4),
        (RuntimeError(), 1),
    ],
)
def test_every_kind_of_error_has_its_exit_code(error: Exception, code: int) -> None:
    assert run.exit_code(error) == code


def test_settings_that_do_not_shape_frames_do_not_change_the_identity_of_a_job() -> None:
    base = ConvertSettings().fingerprint(source="a")
    assert ConvertSettings(overwrite=True, resume=False).fingerprint(source="a") == base
    assert ConvertSettings(strength=0.5).fingerprint(source="a") != base
    assert ConvertSettings().fingerprint(source="b") != base


def test_an_unknown_style_ends_the_call_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.png").touch()
    done = subprocess.run(
        [sys.executable, "run.py", "convert", str(tmp_path / "x.png"), "-o", str(tmp_path / "out"), "--style", "nope"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 9
    assert done.stderr.count("\n") == 1
    assert "nope" in done.stderr
    assert "Traceback" not in done.stderr


def test_json_can_be_asked_for_by_the_environment_and_tells_one_input_at_the_top(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UGATIT_JSON", "1")
    assert run.main(["convert", str(tmp_path / "no.mp4"), "-o", str(tmp_path / "out")]) == 3
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["kind"]) == (False, "UnreadableInputError")
    assert told["results"][0]["error"] == told["error"]


def test_an_error_of_the_whole_call_is_told_as_json_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.png").touch()
    assert run.main(["--json", "convert", str(tmp_path / "x.png"), "--style", "nope"]) == 9
    assert json.loads(capsys.readouterr().out)["exit_code"] == 9
