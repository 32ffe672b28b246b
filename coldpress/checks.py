"""What ``coldpress doctor`` looks for: one function a check, each yielding a sentence for what it finds."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from bundle.errors import NotFound
from bundle.registry import Registry
from coldpress import aws
from coldpress.capture import read_lost
from coldpress.deployed import Deployed, Provisioned
from coldpress.shadow import read_shadow

Template = dict[str, Any]
Check = Callable[[Deployed, Template | None], Iterator[str]]

# New accounts may start with it; production begins at 1,000.
_SMALL_QUOTA = 10
_IDLE_SHARE = 0.1
_DRIFT_SECONDS = 300
# Firehose gathers records for five minutes.
_LATE_SECONDS = 1800
# A version that was deployed just now need not have had requests.
_SETTLED = timedelta(days=1)
_DEPLOYED_WELL = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE")
# A rollback or a canary moves the alias, and auto scaling the concurrency, with nobody at fault: other checks
# look at those.
_MOVES_BY_DESIGN = ("AWS::Lambda::Alias", "AWS::ApplicationAutoScaling::ScalableTarget")


class Skipped(Exception):
    """A check that cannot be made; the sentence says why."""


def stack_status(deployed: Deployed, _wanted: Template | None) -> Iterator[str]:
    """A deployment that failed, or is under way."""
    status = deployed.description["StackStatus"]
    if status.endswith("_IN_PROGRESS"):
        yield f"a deployment is under way ({status}): wait for its end, and ask again."
    elif status not in _DEPLOYED_WELL:
        yield (
            f"the last deployment failed ({status}): read why in the stack's events, mend it, and run "
            f"`cdk deploy {deployed.stack}`."
        )


def digest(deployed: Deployed, wanted: Template | None) -> Iterator[str]:
    """An alias that is not on the digest that the stack, or cdk.json, names."""
    stack, serving = deployed.deployed_digest, deployed.serving
    if stack and serving.digest != stack:
        yield (
            f"the alias serves {serving.digest[:12]} (version {serving.number}), but the stack deployed "
            f"{stack[:12]}: after a rollback by hand pin what serves (`coldpress rollback --pin`), or deploy."
        )
    asked = (wanted or {}).get("Outputs", {}).get(deployed.digest_output, {}).get("Value")
    if asked and asked not in (stack, serving.digest):
        yield f"cdk.json asks for {asked[:12]}, which is not deployed: run `cdk deploy {deployed.stack}`."


def canary(deployed: Deployed, _wanted: Template | None) -> Iterator[str]:
    """Weights on the alias that nobody moves any more."""
    rollout, other = deployed.rollout(), deployed.canary
    if other is not None and (rollout is None or not rollout.is_running):
        version, share = other
        yield (
            f"version {version.number} gets {share:.0%} of the requests, and no deployment is running: "
            "finish with `coldpress promote`, or undo with `coldpress rollback`."
        )
    if rollout is not None and rollout.status in ("Failed", "Stopped"):
        why = f" ({rollout.why})" if rollout.why else ""
        yield f"CodeDeploy's last deployment {rollout.id} is {rollout.status}{why}: mend it, and deploy."


def provisioned(deployed: Deployed, _wanted: Template | None) -> Iterator[str]:
    """Provisioned concurrency that failed, is idle, is not there, or bills though nobody asks for it."""
    configs = deployed.provisioned()
    is_asked = _asks_for_provisioned(deployed.template)
    other = deployed.canary
    serving = {deployed.alias_name, str(deployed.serving.number), str(other[0].number) if other else ""}
    if is_asked and not configs:
        yield (
            "the stack asks for provisioned concurrency, and there is none: look at the scaling activities "
            "(`aws application-autoscaling describe-scaling-activities --service-namespace lambda`)."
        )
    for config in configs:
        if not is_asked or config.qualifier not in serving:
            yield (
                f"provisioned concurrency of '{config.qualifier}' bills, and no request gets there: "
                f"run `aws lambda delete-provisioned-concurrency-config --function-name {deployed.function} "
                f"--qualifier {config.qualifier}`."
            )
        elif config.status == "FAILED":
            yield (
                f"provisioned concurrency of '{config.qualifier}' failed ({config.reason or 'no reason'}): "
                "read the function's log for what its init says, and roll back until it is mended."
            )
        elif config.status == "READY" and (share := _busiest(deployed, config)) < _IDLE_SHARE:
            yield (
                f"of the provisioned concurrency of '{config.qualifier}' at most {share:.0%} was in use "
                "within a day: lower provisioned_concurrency.min, or take the key out and deploy."
            )


def image(deployed: Deployed, wanted: Template | None) -> Iterator[str]:
    """An image that was built from other code than lies here, or other settings than cdk.json has."""
    if wanted is None:
        raise Skipped("cdk.json is not here, or has no model for this stage; name it with --config.")
    template = deployed.template
    if _images(template) != _images(wanted):
        yield f"the image was built from other code than lies here: run `cdk deploy {deployed.stack}`."
    elif template != wanted:
        yield (
            f"cdk.json asks for other settings than are deployed: look at `cdk diff {deployed.stack}`, "
            "and deploy."
        )


def quota(_deployed: Deployed, _wanted: Template | None) -> Iterator[str]:
    """An account that may run ten environments at a time."""
    limits = aws.client("lambda").get_account_settings()["AccountLimit"]
    if limits["ConcurrentExecutions"] <= _SMALL_QUOTA:
        yield (
            f"Lambda runs at most {limits['ConcurrentExecutions']} environments at a time in this account "
            "and region, for all functions together: ask for 1000 at Service Quotas (Lambda, L-B99A9384)."
        )


def alarms(deployed: Deployed, _wanted: Template | None) -> Iterator[str]:
    """Alarms that sound, or that watch what never had data."""
    found = deployed.alarms()
    if not found:
        yield f"the stack has no alarms: run `cdk deploy {deployed.stack}`."
    for alarm in found:
        if alarm["StateValue"] == "ALARM":
            yield f"{alarm['AlarmName']} is in ALARM ({alarm.get('StateReason', '')}): look at the dashboard."
    through_alias = [
        {"Name": "FunctionName", "Value": deployed.function},
        {"Name": "Resource", "Value": f"{deployed.function}:{deployed.alias_name}"},
    ]
    if not _have_data("AWS/Lambda", through_alias):
        raise Skipped(
            "nobody sent a request within two weeks, so no metric has data: send one with `coldpress invoke`."
        )
    settled = [(alarm, metric) for alarm in found if _age(alarm) >= _SETTLED for metric in _metrics(alarm)]
    for alarm, metric in settled:
        if not _have_data(metric["Namespace"], metric.get("Dimensions", [])):
            yield (
                f"{alarm['AlarmName']} watches {metric['MetricName']} under dimensions that had no data "
                "within two weeks: compare them with the metric's in the console."
            )


def drift(deployed: Deployed, _wanted: Template | None) -> Iterator[str]:
    """Resources that somebody changed by hand."""
    client = aws.client("cloudformation")
    detection = client.detect_stack_drift(StackName=deployed.stack)["StackDriftDetectionId"]
    deadline = time.monotonic() + _DRIFT_SECONDS
    while (told := client.describe_stack_drift_detection_status(StackDriftDetectionId=detection))[
        "DetectionStatus"
    ] == "DETECTION_IN_PROGRESS":
        if time.monotonic() > deadline:
            raise Skipped("CloudFormation has not finished looking: ask again later.")
        time.sleep(2)
    if told["DetectionStatus"] != "DETECTION_COMPLETE":
        raise Skipped(f"CloudFormation could not look ({told.get('DetectionStatusReason')}).")
    pages = client.describe_stack_resource_drifts(
        StackName=deployed.stack, StackResourceDriftStatusFilters=["MODIFIED", "DELETED"]
    )
    for entry in pages["StackResourceDrifts"]:
        if entry["ResourceType"] not in _MOVES_BY_DESIGN:
            paths = ", ".join(sorted(part["PropertyPath"] for part in entry.get("PropertyDifferences", [])))
            what = "deleted" if entry["StackResourceDriftStatus"] == "DELETED" else "changed"
            yield (
                f"{entry['LogicalResourceId']} ({entry['ResourceType']}) was {what} by hand"
                f"{f' ({paths})' if paths else ''}: undo that, for the next deployment may not."
            )


def golden(deployed: Deployed, _wanted: Template | None) -> Iterator[str]:
    """A rollout that no check of golden answers precedes, or a bundle that lost its golden samples."""
    if not deployed.update_policy.get("BeforeAllowTrafficHook"):
        yield (
            "no check of the golden answers precedes the traffic of a new version: deploy with this "
            "release's constructs."
        )
    registry, serving = Registry(deployed.serving.bucket, aws.s3_client()), deployed.serving
    try:
        manifest = registry.manifest(serving.model, serving.digest)
    except NotFound as error:
        yield f"the bundle that serves is gone from the registry, so no new environment starts: {error}"
        return
    if "golden.npz" not in manifest.files or not manifest.golden_error:
        yield "the bundle has no golden answers to check: press the model anew with `optimize`."


def labels(deployed: Deployed, _wanted: Template | None) -> Iterator[str]:
    """Labels in the registry that point at a bundle that is not there."""
    model, registry = deployed.serving.model, Registry(deployed.serving.bucket, aws.s3_client())
    for name in registry.labels(model):
        label = registry.label(model, name)
        if label is None:
            continue
        try:
            registry.manifest(model, label.digest)
        except NotFound:
            yield (
                f"the label '{name}' of {model} points at {label.digest[:12]}, which the registry does not "
                f"hold: push that bundle again, or move the label with `coldpress promote --label {name}`."
            )


def shadow(deployed: Deployed, _wanted: Template | None) -> Iterator[str]:
    """A shadow that is gone, that fails, or that its requests do not reach."""
    found = read_shadow(deployed)
    if found is None:
        return
    if not found.digest:
        yield (
            f"version {deployed.serving.number} sends requests to {found.function}, which is gone: deploy, "
            "or roll back to a version without a shadow."
        )
        return
    if found.errors:
        yield (
            f"within a day the shadow failed on {found.errors} of {found.requests} requests: its log "
            f"(of {found.function}) says why, under Problem."
        )
    if found.unsent or found.dropped:
        yield (
            f"within a day {found.unsent} requests could not be sent to the shadow (the endpoint's log says "
            f"why, under Reason), and its queue dropped {found.dropped}: its figures are of the others."
        )


def capture(deployed: Deployed, _wanted: Template | None) -> Iterator[str]:
    """Requests that should be kept, and were not."""
    found = read_lost(deployed)
    if found is None:
        return
    if found.unsent:
        yield (
            f"within a day {found.unsent} requests could not be captured: the endpoint's log says why, under "
            "Reason."
        )
    if found.large:
        yield (
            f"within a day {found.large} requests were larger than the 1,000 KB that Firehose takes, and not "
            "captured: redact what is large, or leave inputs or outputs out (capture in cdk.json)."
        )
    if found.undelivered or found.behind_s > _LATE_SECONDS:
        yield (
            f"within a day {found.stream} failed {found.undelivered} times to put captured requests into S3, "
            f"and was {found.behind_s} s behind: look at the bucket, its key's policy, and its role; "
            "after a day Firehose drops what it cannot deliver."
        )


def batch(deployed: Deployed, _wanted: Template | None) -> Iterator[str]:
    """Buckets of batches that are not there, or in a region that Step Functions does not write into."""
    s3 = aws.s3_client()
    for bucket in deployed.output("BatchBuckets").split():
        try:
            region = s3.head_bucket(Bucket=bucket).get("BucketRegion", s3.meta.region_name)
        except ClientError as error:
            if aws.error_code(error) != "404":
                raise
            yield (
                f"there is no bucket {bucket}, which batches may touch: make it, or take it out of "
                "batch.buckets, and deploy."
            )
            continue
        if region != s3.meta.region_name:
            yield (
                f"the bucket {bucket} is in {region}, and a batch writes into its own region only: name one "
                f"in {s3.meta.region_name} in batch.buckets, and deploy."
            )


CHECKS: dict[str, Check] = {
    "stack": stack_status,
    "digest": digest,
    "canary": canary,
    "provisioned concurrency": provisioned,
    "image": image,
    "quota": quota,
    "alarms": alarms,
    "drift": drift,
    "golden check": golden,
    "labels": labels,
    "batch": batch,
    "shadow": shadow,
    "capture": capture,
}


def _of_type(template: Template, kind: str) -> list[Any]:
    return [resource for resource in template["Resources"].values() if resource["Type"] == kind]


def _asks_for_provisioned(template: Template) -> bool:
    """By a scalable target, or by a number on a version or an alias."""
    kinds = ("AWS::Lambda::Alias", "AWS::Lambda::Version")
    fixed = [resource for kind in kinds for resource in _of_type(template, kind)]
    return bool(_of_type(template, "AWS::ApplicationAutoScaling::ScalableTarget")) or any(
        "ProvisionedConcurrencyConfig" in resource["Properties"] for resource in fixed
    )


def _images(template: Template) -> list[Any]:
    return [function["Properties"]["Code"] for function in _of_type(template, "AWS::Lambda::Function")]


def _busiest(deployed: Deployed, config: Provisioned) -> float:
    """The largest share in use within the last day; 1 where nothing is known, as after a deployment."""
    now = datetime.now(UTC)
    points = aws.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName="ProvisionedConcurrencyUtilization",
        Dimensions=[
            {"Name": "FunctionName", "Value": deployed.function},
            {"Name": "Resource", "Value": f"{deployed.function}:{config.qualifier}"},
        ],
        StartTime=now - timedelta(days=1),
        EndTime=now + timedelta(minutes=1),  # itself not included
        Period=3600,
        Statistics=["Maximum"],
    )["Datapoints"]
    return max((float(point["Maximum"]) for point in points), default=1.0)


def _metrics(alarm: Any) -> list[Any]:
    """The metrics of an alarm: its own, or those of its expression."""
    if "MetricName" in alarm:
        return [alarm]
    stats = [query["MetricStat"]["Metric"] for query in alarm.get("Metrics", []) if "MetricStat" in query]
    return [metric for metric in stats if "MetricName" in metric]


def _age(alarm: Any) -> timedelta:
    """For how long it has been as it is."""
    return datetime.now(UTC) - datetime.fromisoformat(str(alarm["AlarmConfigurationUpdatedTimestamp"]))


def _have_data(namespace: str, dimensions: list[Any]) -> bool:
    """Whether CloudWatch lists a metric with these dimensions, as it does for two weeks after its last data.

    Any, because some are only sent when there is something to count.
    """
    return bool(aws.client("cloudwatch").list_metrics(Namespace=namespace, Dimensions=dimensions)["Metrics"])
