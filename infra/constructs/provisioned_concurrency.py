"""Environments that are kept initialised, and how many."""

from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.config import ProvisionedConcurrency


class ProvisionedCapacity(Construct):
    """Target tracking on the alias; the scalable target's minimum alone owns the number.

    Why this arrangement, of those that synthesise:

    - ``provisioned_concurrent_executions`` is set nowhere, neither on the alias nor on the version. Two
      owners would fight: each deployment would set the number back to the template's, whatever the traffic
      asks for.
    - CloudFormation waits for provisioned concurrency that stands in its template. A bundle whose init
      fails would then fail the update, and the rollback, which has to provision too, can get stuck. With
      the scalable target there is nothing to wait for: the alias moves, Application Auto Scaling provisions
      afterwards, and until then, or if init fails, requests are served on demand and the alarms speak.
    - The target is the alias and not the version: it survives deployments, and a rollback by moving the
      alias keeps it. Retained old versions hold no provisioned concurrency, so they cost nothing.

    The price: after a deployment the first requests of the new version can meet a cold start while it
    provisions.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, alias: lambda_.Alias, limits: ProvisionedConcurrency
    ) -> None:
        super().__init__(scope, construct_id)
        self.scaling = alias.add_auto_scaling(min_capacity=limits.min, max_capacity=limits.max)
        self.scaling.scale_on_utilization(utilization_target=limits.target_utilization)
