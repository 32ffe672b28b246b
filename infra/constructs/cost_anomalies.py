"""Who hears when a stage suddenly costs more than it used to, long before a month's budget is spent."""

import json

from aws_cdk import Stack
from aws_cdk import aws_ce as ce
from constructs import Construct

from infra.constructs.budget import STAGE_TAG


class CostAnomalies(Construct):
    """A monitor of AWS Cost Anomaly Detection over everything with the stage's tag, and an e-mail a day.

    The monitor is one of the tag: those over all services are AWS's own to hold, one in an account. AWS takes
    it in an account of its own or an organisation's management account, which has the cost allocation tags.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, stage: str, least_usd: float, email: str
    ) -> None:
        super().__init__(scope, construct_id)
        name = Stack.of(self).stack_name
        monitor = ce.CfnAnomalyMonitor(
            self,
            "Monitor",
            monitor_name=name,
            monitor_type="CUSTOM",
            monitor_specification=json.dumps({"Tags": {"Key": STAGE_TAG, "Values": [stage]}}),
        )
        least = {
            "Key": "ANOMALY_TOTAL_IMPACT_ABSOLUTE",
            "MatchOptions": ["GREATER_THAN_OR_EQUAL"],
            "Values": [f"{least_usd:.2f}"],
        }
        ce.CfnAnomalySubscription(
            self,
            "Subscription",
            subscription_name=name,
            # At once AWS tells a topic only; its data is a day old in any case.
            frequency="DAILY",
            monitor_arn_list=[monitor.attr_monitor_arn],
            subscribers=[ce.CfnAnomalySubscription.SubscriberProperty(type="EMAIL", address=email)],
            threshold_expression=json.dumps({"Dimensions": least}),
        )
