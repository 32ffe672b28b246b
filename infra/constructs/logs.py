"""Log groups of our own: a stated retention, and gone with the stack."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_logs as logs
from constructs import Construct


class ServiceLogGroup(logs.LogGroup):
    """A log group kept for a month: long enough to look into an alarm, short enough to cost little.

    Without it Lambda makes one that is kept for ever, and CDK's own flag one for two years.
    """

    def __init__(self, scope: Construct, construct_id: str, *, log_group_name: str | None = None) -> None:
        super().__init__(
            scope,
            construct_id,
            log_group_name=log_group_name,
            retention=logs.RetentionDays.ONE_MONTH,
            removal_policy=RemovalPolicy.DESTROY,
        )
