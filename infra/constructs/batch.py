"""Many requests that wait in a bucket, answered by the endpoint's function without its API."""

from typing import Any

from aws_cdk import ArnFormat, Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.config import Batch, EndpointConfig
from infra.constructs.companion_function import build_companion_function
from infra.constructs.image import Image
from infra.constructs.logs import ServiceLogGroup
from infra.constructs.nag import acknowledge, acknowledge_resource
from infra.constructs.service_role import ServiceRole

# The error by which the item function asks to be tried again (handlers/batch/item.py), and Lambda's own.
_PASSING = [
    "Busy",
    "Lambda.TooManyRequestsException",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
]
# A child that is EXPRESS, at a fortieth of the price, ends after five minutes.
_TIMEOUT = Duration.seconds(90)


class ModelBatch(Construct):
    """A state machine that answers every object below a prefix, or those that failed the last time.

    A Distributed Map of Step Functions reads the keys and has each answered by a function (handlers/batch),
    in this repository's image. That one asks the version which the execution names, so a batch has one
    version from the first object to the last, whatever is deployed meanwhile. All objects are tried; at the
    end those that failed are in ``failures.json``, and the execution fails if there are any.
    `coldpress batch` starts it (docs/batch.md).
    """

    def __init__(  # noqa: PLR0913 - keyword-only
        self,
        scope: Construct,
        construct_id: str,
        *,
        endpoint: lambda_.Function,
        config: EndpointConfig,
        batch: Batch,
        image: Image,
        key: kms.IKey | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._key = key
        self._objects = [self._arn_of(f"{bucket}/*") for bucket in batch.buckets]
        self.function = self._build_function(endpoint, config, image)
        self.state_machine = self._build_state_machine([self._arn_of(bucket) for bucket in batch.buckets])

    def _build_function(
        self, endpoint: lambda_.Function, config: EndpointConfig, image: Image
    ) -> lambda_.DockerImageFunction:
        log_group = ServiceLogGroup(self, "Logs", retention_days=config.log_retention_days, key=self._key)
        role = self._build_function_role(endpoint)
        log_group.let_write(role)
        return build_companion_function(
            self,
            handler="handlers.batch.app.handler",
            description=f"coldpress: answers batches for the model {config.model.name}",
            image=image,
            architecture=config.architecture,
            timeout=_TIMEOUT,
            role=role,
            log_group=log_group,
            key=self._key,
            environment={"COLDPRESS_FUNCTION": endpoint.function_name},
            why_no_dead_letters="Step Functions waits for its answer, and lists what failed.",
            why_no_tracing=(
                "It waits for one other function; a trace of every object would cost more than the object."
            ),
        )

    def _build_function_role(self, endpoint: lambda_.Function) -> ServiceRole:
        role = ServiceRole(
            self,
            "FunctionRole",
            service="lambda",
            description="coldpress: reads requests, invokes versions, writes answers and its own log",
        )
        versions = f"{endpoint.function_arn}:*"
        role.allow("lambda:InvokeFunction", on=[versions])
        acknowledge_resource(role, versions, "The versions of one function: the execution names one of them.")
        self._allow_objects(role)
        return role

    def _build_state_machine(self, buckets: list[str]) -> sfn.StateMachine:
        role = ServiceRole(
            self,
            "Role",
            service="states",
            description="coldpress: lists requests, has them answered, writes what became of them",
        )
        function = self.function.function_arn
        role.allow("lambda:InvokeFunction", on=[function])
        role.allow("s3:ListBucket", on=buckets)
        # A ResultWriter uploads in parts.
        self._allow_objects(role, "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload")
        state_machine = sfn.StateMachine(
            self,
            "StateMachine",
            definition_body=sfn.DefinitionBody.from_string(
                Stack.of(self).to_json_string(_definition(function))
            ),
            role=role,
        )
        acknowledge(
            state_machine,
            "AwsSolutions-SF1",
            "Its input and the objects' keys would be logged; failures.json and the result files say what "
            "became of each object, and Step Functions keeps the history for 90 days.",
        )
        for rule in ("AwsSolutions-SF2", "Serverless-StepFunctionStateMachineXray"):
            acknowledge(state_machine, rule, "A trace of every object would cost more than the object.")
        self._allow_children(role, state_machine)
        return state_machine

    def _allow_objects(self, role: ServiceRole, *more: str) -> None:
        role.allow("s3:GetObject", "s3:PutObject", *more, on=self._objects)
        for objects in self._objects:
            acknowledge_resource(
                role,
                objects,
                "The objects of a bucket that the configuration gives to batches, and no other.",
            )

        if self._key is not None:
            # The function's variables, and the objects where the key is the buckets' as well.
            role.allow("kms:Decrypt", "kms:GenerateDataKey", on=[self._key.key_arn])

    def _allow_children(self, role: iam.Role, state_machine: sfn.StateMachine) -> None:
        """A Distributed Map runs each object as an execution of its own state machine."""
        children = Stack.of(self).format_arn(
            service="states",
            resource="execution",
            resource_name=f"{state_machine.state_machine_name}:*",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        # A policy of its own, because it names the state machine, which needs the role.
        policy = iam.Policy(
            self,
            "Children",
            roles=[role],
            statements=[
                iam.PolicyStatement(
                    actions=["states:StartExecution"], resources=[state_machine.state_machine_arn]
                ),
                iam.PolicyStatement(
                    actions=["states:DescribeExecution", "states:StopExecution"], resources=[children]
                ),
            ],
        )
        acknowledge_resource(policy, children, "Its own executions, whose names Step Functions makes up.")

    def _arn_of(self, resource: str) -> str:
        return Stack.of(self).format_arn(service="s3", region="", account="", resource=resource)


def _definition(function: str) -> dict[str, Any]:
    """The state machine in Amazon States Language; what ``$`` holds is the execution's input."""
    listed = {
        "Resource": "arn:aws:states:::s3:listObjectsV2",
        "Parameters": {"Bucket.$": "$.input.bucket", "Prefix.$": "$.input.prefix"},
    }
    failed = {
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": {"InputType": "JSON"},
        "Parameters": {"Bucket.$": "$.failures.bucket", "Key.$": "$.failures.key"},
    }
    return {
        "StartAt": "Which",
        "States": {
            "Which": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.failures", "IsPresent": True, "Next": "FailedObjects"}],
                "Default": "AllObjects",
            },
            "AllObjects": _map(listed, function),
            "FailedObjects": _map(failed, function),
            "Report": {
                **_task({"Payload": {"job.$": "$", "manifest.$": "$.map.ResultWriterDetails"}}, function),
                "Next": "Complete",
            },
            "Complete": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.failed", "NumericEquals": 0, "Next": "Done"}],
                "Default": "Incomplete",
            },
            "Done": {"Type": "Succeed"},
            "Incomplete": {
                "Type": "Fail",
                "Error": "ObjectsFailed",
                "CausePath": "States.Format('{} objects failed, and {} says why.', $.failed, $.failures)",
            },
        },
    }


def _map(reader: dict[str, Any], function: str) -> dict[str, Any]:
    """Every object that ``reader`` finds is tried, however many fail: a rerun does those."""
    return {
        "Type": "Map",
        "ItemReader": reader,
        "ItemSelector": {"key.$": "$$.Map.Item.Value.Key", "job.$": "$"},
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"},
            "StartAt": "Answer",
            "States": {"Answer": {**_task({"Payload.$": "$"}, function), "End": True}},
        },
        "MaxConcurrencyPath": "$.concurrency",
        "ToleratedFailurePercentage": 100,
        "ResultWriter": {
            "Resource": "arn:aws:states:::s3:putObject",
            "Parameters": {"Bucket.$": "$.results.bucket", "Prefix.$": "$.results.prefix"},
        },
        "ResultPath": "$.map",
        "Next": "Report",
    }


def _task(payload: dict[str, Any], function: str) -> dict[str, Any]:
    """Ask the function; what passes is tried again, within the five minutes that a child has."""
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": function, **payload},
        "OutputPath": "$.Payload",
        "Retry": [
            {
                "ErrorEquals": _PASSING,
                "IntervalSeconds": 2,
                "MaxAttempts": 5,
                "BackoffRate": 2,
                "MaxDelaySeconds": 30,
                "JitterStrategy": "FULL",
            }
        ],
    }
