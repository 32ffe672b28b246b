"""EventBridge's rules with a schedule, over emulated time."""

import json

import pytest
from botocore.exceptions import ClientError

RATE = "rate(5 minutes)"


class Scheduled:
    """A function that a rule invokes; it prints the rule's events."""

    def __init__(self, stack, emulator):
        self.stack = stack
        self.emulator = emulator

    def template(self, schedule=RATE, source=None, **rule):
        target = {"Id": "function", "Arn": {"Fn::GetAtt": ["Function", "Arn"]}}
        if "Input" in rule:
            target["Input"] = json.dumps(rule.pop("Input"))
        return {
            "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {}}},
            "Function": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "Code": {"ImageUri": "echo:1"},
                    "PackageType": "Image",
                    "ImageConfig": {"Command": ["hooks.handler"]},
                    "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                },
            },
            "Rule": {
                "Type": "AWS::Events::Rule",
                "Properties": {"ScheduleExpression": schedule, "Targets": [target], **rule},
            },
            "Permission": {
                "Type": "AWS::Lambda::Permission",
                "Properties": {
                    "Action": "lambda:InvokeFunction",
                    "FunctionName": {"Fn::GetAtt": ["Function", "Arn"]},
                    "Principal": "events.amazonaws.com",
                    "SourceArn": source or {"Fn::GetAtt": ["Rule", "Arn"]},
                },
            },
        }

    def minutes(self, count):
        """Let them pass, beginning with a full one."""
        self.emulator.advance(60 - self.emulator.now() % 60 + 0.01)
        before = len(self.events)
        self.emulator.advance(60 * count)
        return self.events[before:]

    @property
    def events(self):
        """All that the function was sent."""
        folder = self.emulator.state_dir / "logs" / self.stack.physical_ids["Function"]
        lines = [line for log in sorted(folder.glob("*.log")) for line in log.read_text().splitlines()]
        return [json.loads(line) for line in lines if line.startswith("{") and '"aws.events"' in line]


@pytest.fixture
def scheduled(emulator, stack, echo_image):
    return Scheduled(stack, emulator)


def test_a_rate_invokes_the_function_again_and_again(scheduled):
    scheduled.stack.create(scheduled.template())
    events = scheduled.minutes(20)
    assert len(events) == 4
    times = [event["time"] for event in events]
    assert times == sorted(set(times))
    assert all(time.endswith(":00Z") for time in times)
    name = scheduled.stack.physical_ids["Rule"]
    assert events[0]["resources"][0].endswith(f":rule/{name}")
    assert events[0]["detail-type"] == "Scheduled Event"


def test_another_schedule_an_input_and_the_end_of_it(scheduled):
    scheduled.stack.create(scheduled.template("cron(0 3 * * ? *)"))
    assert [event["time"][11:] for event in scheduled.minutes(48 * 60)] == ["03:00:00Z"] * 2
    own = {"source": "aws.events", "model": "a"}
    scheduled.stack.update(scheduled.template("rate(1 minute)", Input=own))
    assert scheduled.minutes(3) == [own] * 3
    scheduled.stack.update(scheduled.template("rate(1 minute)", Input=own, State="DISABLED"))
    assert scheduled.minutes(3) == []
    resources = scheduled.template()
    del resources["Rule"], resources["Permission"]
    scheduled.stack.update(resources)
    assert scheduled.stack.client("events").list_rules()["Rules"] == []


def test_a_function_that_fails_or_is_not_permitted_stops_nobody(scheduled, emulator):
    raising = {"source": "aws.events", "fails": True}
    scheduled.stack.create(scheduled.template("rate(1 minute)", Input=raising))
    assert len(scheduled.minutes(3)) == 3
    scheduled.stack.update(
        scheduled.template("rate(1 minute)", source="arn:aws:events:us-east-1:123456789012:rule/another")
    )
    assert scheduled.minutes(3) == []
    assert "no AWS::Lambda::Permission lets" in (emulator.state_dir / "emulator.log").read_text()


def test_what_could_never_happen_is_refused(scheduled):
    events = scheduled.stack.client("events")
    with pytest.raises(ClientError, match="does not know L in a cron"):
        events.put_rule(Name="last", ScheduleExpression="cron(0 8 L * ? *)")
    events.put_rule(Name="queue", ScheduleExpression=RATE)
    with pytest.raises(ClientError, match="invoke functions only"):
        events.put_targets(Rule="queue", Targets=[{"Id": "q", "Arn": "arn:aws:sqs:us-east-1:123456789012:q"}])
    events.delete_rule(Name="queue")
