"""What the real CDK CLI does with the emulator, from deployment to destruction."""

import copy
import json
import urllib.request
from pathlib import Path

from emulator.audit import compare


def _ask(url: str) -> dict:
    with urllib.request.urlopen(f"{url}/open/x") as response:
        return json.load(response)


def test_everything_in_the_template_is_there(echo):
    assert compare("echo", echo.template, echo.client("cloudformation")) == []
    assert echo.outputs["EndpointUrl"].startswith(f"{echo.emulator.url}/_apis/")


def test_the_function_runs_as_it_was_built_and_deployed(echo):
    environment = _ask(echo.outputs["EndpointUrl"])["environment"]
    assert environment["DIGEST"] == "one"
    assert environment["GREETING"] == "from the build"
    assert environment["AWS_LAMBDA_FUNCTION_VERSION"] == "1"
    assert environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert environment["AWS_ENDPOINT_URL"] == echo.emulator.url
    assert "VIRTUAL_ENV" not in environment  # nothing of the emulator's own environment but PATH


def test_what_is_missing_is_named(echo):
    template = copy.deepcopy(echo.template)
    template["Resources"]["Extra"] = {"Type": "AWS::SNS::Topic"}
    template["Outputs"]["ExtraOutput"] = {"Value": {"Ref": "Extra"}}
    function = next(r for r in template["Resources"].values() if r["Type"] == "AWS::Lambda::Function")
    function["Properties"]["Environment"]["Variables"]["DIGEST"] = "another"
    problems = compare("echo", template, echo.client("cloudformation"))
    assert len(problems) == 3
    assert "The output ExtraOutput has no value." in problems
    assert "Extra (AWS::SNS::Topic) is not in the stack." in problems
    assert any("AWS::Lambda::Function" in problem for problem in problems)
    assert compare("nothing", template, echo.client("cloudformation"))[0].startswith(
        "The stack nothing does not"
    )


def test_an_unsupported_type_fails_the_deployment_by_name_and_changes_nothing(echo):
    before = _ask(echo.outputs["EndpointUrl"])["environment"]["DIGEST"]
    done = echo.deploy("--method=direct", UNSUPPORTED="1", DIGEST="three")
    assert done.returncode != 0
    assert "AWS::GameLift::Fleet" in done.stderr + done.stdout
    assert _ask(echo.outputs["EndpointUrl"])["environment"]["DIGEST"] == before


def test_another_digest_moves_the_alias_and_drains_the_old_version(echo, until):
    old = _ask(echo.outputs["EndpointUrl"])
    done = echo.deploy(DIGEST="two")  # by change set, the CLI's default
    assert done.returncode == 0, done.stderr
    assert "EndpointUrl = " in done.stdout + done.stderr
    assert compare("echo", echo.template, echo.client("cloudformation")) == []
    new = _ask(echo.outputs["EndpointUrl"])
    assert new["environment"]["DIGEST"] == "two"
    assert new["environment"]["AWS_LAMBDA_FUNCTION_VERSION"] == "2"
    assert until(lambda: not _is_running(old["pid"]))
    # The old version is retained, for a way back.
    name = echo.outputs["FunctionName"]
    invoked = echo.client("lambda").invoke(FunctionName=name, Qualifier="1", Payload=b"{}")
    body = json.loads(json.load(invoked["Payload"])["body"])
    assert body["environment"]["DIGEST"] == "one"


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_cli_destroys_a_stack_and_leaves_what_is_retained(echo, until):
    def names(service, call, kind, key):
        return {found[key] for found in getattr(echo.client(service), call)()[kind]}

    def there():
        return {
            "stacks": names("cloudformation", "describe_stacks", "Stacks", "StackName"),
            "functions": names("lambda", "list_functions", "Functions", "FunctionName"),
            "alarms": names("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
            "logs": names("logs", "describe_log_groups", "logGroups", "logGroupName"),
            "roles": names("iam", "list_roles", "Roles", "RoleName"),
            "dashboards": names("cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
            "APIs": names("apigatewayv2", "get_apis", "Items", "ApiId"),
            "buckets": names("s3", "list_buckets", "Buckets", "Name"),
        }

    before = there()
    assert echo.deploy(STACK="second").returncode == 0
    deployed = there()
    assert all(deployed[kind] > before[kind] for kind in before)
    done = echo.cdk("destroy", "--force", STACK="second")
    assert done.returncode == 0, done.stderr
    after = there()
    assert after.pop("buckets") == deployed["buckets"]
    assert after.items() <= before.items()
