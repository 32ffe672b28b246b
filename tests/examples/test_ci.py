"""The example workflow: well-formed, least privilege, no keys, and only commands and stages that exist."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / "examples" / "ci" / "deploy.yml"


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    return yaml.safe_load(WORKFLOW.read_text())


@pytest.fixture(scope="module")
def commands(workflow: dict[Any, Any]) -> str:
    return "\n".join(
        step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step
    )


def test_jobs_follow_each_other_and_ask_for_no_more_than_they_need(workflow: dict[Any, Any]) -> None:
    jobs = workflow["jobs"]
    assert workflow["permissions"] == {}
    assert jobs["diff"]["needs"] == "press"
    assert jobs["prod"]["needs"] == "dev"
    assert jobs["prod"]["environment"] == "prod"
    for name, job in jobs.items():
        writes = {scope for scope, access in job["permissions"].items() if access == "write"}
        assert writes == ({"contents", "id-token"} if name == "press" else {"id-token"})
        roles = [
            step["with"]["role-to-assume"] for step in job["steps"] if "aws-actions" in step.get("uses", "")
        ]
        assert len(roles) == 1
    assert "head.repo.full_name == github.repository" in jobs["press"]["if"]
    assert "secrets." not in WORKFLOW.read_text()


def test_what_strangers_choose_never_gets_into_a_script(commands: str) -> None:
    """A branch's name can hold shell code; variables carry it, expressions would paste it."""
    assert "${{" not in commands


def test_the_stages_are_those_of_cdk_json(commands: str) -> None:
    stages = json.loads((ROOT / "cdk.json").read_text())["context"]["coldpress"]
    named = set(re.findall(r"coldpress-(\w+)", commands)) | set(re.findall(r"--pin (\w+)", commands))
    assert named <= set(stages)


@pytest.mark.parametrize("command", ["push", "doctor"])
def test_the_commands_exist_with_their_options(command: str, commands: str) -> None:
    lines = [line for line in commands.splitlines() if f"coldpress {command}" in line]
    options = {word for line in lines for word in line.split() if word.startswith("--")}
    coldpress = Path(sys.executable).with_name("coldpress")
    done = subprocess.run([coldpress, command, "--help"], check=True, capture_output=True, text=True)
    assert lines
    assert all(option in done.stdout for option in options)
