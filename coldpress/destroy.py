"""``coldpress destroy``: a stage and all of it that bills, and what is kept."""

import argparse
import sys

from botocore.exceptions import ClientError, WaiterError

from coldpress import aws
from coldpress.batch_runs import running
from coldpress.deployed import Deployed, add_stack_argument, open_stage
from coldpress.errors import CommandError


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    add_stack_argument(parser)
    parser.add_argument("-f", "--force", action="store_true", help="do not ask")


@aws.one_sentence()
def run(options: argparse.Namespace) -> int:
    """Remove what bills, then the stack; look whether something was left, and say what was kept."""
    stage = open_stage(options.stack, None)
    _check_may_go(stage)
    if not options.force and not _is_confirmed(stage):
        sys.stdout.write("nothing was destroyed\n")
        return 1
    _stop_provisioning(stage)
    _delete_stack(stage)
    sys.stdout.write(f"{options.stack} is gone\n")
    for deployed in stage:
        _tell_kept(deployed)
    left = [what for deployed in stage for what in _left(deployed)] + _shared_left(stage[0])
    for what in left:
        sys.stdout.write(f"left behind, and to be removed by hand: {what}\n")
    return 1 if left else 0


def _check_may_go(stage: list[Deployed]) -> None:
    stack = stage[0].stack
    if stage[0].description.get("EnableTerminationProtection"):
        raise CommandError(
            f"'{stack}' is protected: if it shall go, set termination_protection to false and deploy, or run "
            f"`aws cloudformation update-termination-protection --no-enable-termination-protection "
            f"--stack-name {stack}`."
        )
    for deployed in stage:
        rollout = deployed.rollout()
        if rollout is not None and rollout.is_running:
            raise CommandError(
                f"CodeDeploy's deployment {rollout.id} is running: end it with `coldpress rollback {stack}` "
                "first."
            )
        machine = deployed.output("BatchArn")
        for run in running(machine) if machine else []:
            raise CommandError(
                f"the batch {run.name} is running: wait for its end, or stop it with `{run.stop_command}`."
            )


def _is_confirmed(stage: list[Deployed]) -> bool:
    if not sys.stdin.isatty():
        raise CommandError("nobody can be asked here: add --force to destroy without asking.")
    models = ", ".join(deployed.serving.model for deployed in stage)
    sys.stdout.write(f"{stage[0].stack} serves {models} at {stage[0].url}. Destroy it (y/n)? ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _stop_provisioning(stage: list[Deployed]) -> None:
    """A stack that fails to go must not go on billing, and CloudFormation does not know of this."""
    client = aws.client("lambda")
    for deployed in stage:
        for config in deployed.provisioned():
            client.delete_provisioned_concurrency_config(
                FunctionName=deployed.function, Qualifier=config.qualifier
            )
            sys.stdout.write(f"provisioned concurrency of {deployed.function}:{config.qualifier} is off\n")


def _delete_stack(stage: list[Deployed]) -> None:
    client, stack = aws.client("cloudformation"), stage[0].stack
    client.delete_stack(StackName=stack)
    try:
        # By its id, a stack can be asked for after it is gone.
        client.get_waiter("stack_delete_complete").wait(
            StackName=stage[0].description["StackId"], WaiterConfig={"Delay": 5}
        )
    except WaiterError:
        _stop_provisioning(stage)  # auto scaling may have put it back meanwhile
        raise CommandError(
            f"'{stack}' did not go: read why in the stack's events, mend it, and run this again."
        ) from None


def _left(deployed: Deployed) -> list[str]:
    """The model's scalable targets that are still there, whatever CloudFormation says."""
    qualifiers = [deployed.alias_name, *(str(version.number) for version in deployed.versions)]
    targets = aws.client("application-autoscaling").describe_scalable_targets(
        ServiceNamespace="lambda",
        ResourceIds=[f"function:{deployed.function}:{qualifier}" for qualifier in qualifiers],
    )
    return [f"the scalable target {target['ResourceId']}" for target in targets["ScalableTargets"]]


def _shared_left(deployed: Deployed) -> list[str]:
    """The stack's functions, a shadow's among them, alarms and log groups that are still there."""
    left = []
    for function in deployed.physical_ids("AWS::Lambda::Function"):
        try:
            aws.client("lambda").get_function(FunctionName=function)
            left.append(f"the function {function}")
        except ClientError as error:
            if aws.error_code(error) not in ("ResourceNotFoundException", "404"):
                raise
    left += [f"the alarm {alarm['AlarmName']}" for alarm in deployed.alarms()]
    client = aws.client("logs")
    for name in deployed.physical_ids("AWS::Logs::LogGroup"):
        found = client.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        left += [f"the log group {name}" for group in found if group["logGroupName"] == name]
    return left


def _tell_kept(deployed: Deployed) -> None:
    model, bucket = deployed.serving.model, deployed.serving.bucket
    sys.stdout.write(
        f"kept: the bundles of {model} in s3://{bucket}/models/{model}/ (the registry), and the image in the "
        "account's CDK repository; both cost their storage\n"
    )
    captures = deployed.output("CaptureBucket")
    if captures:
        sys.stdout.write(
            f"kept: captured requests of {model}, and their labels, in s3://{captures}, which empties itself "
            "after capture.retention_days; delete the bucket if they shall go now\n"
        )
