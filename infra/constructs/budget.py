"""What a stage may cost, and who hears when it costs more."""

from aws_cdk import Stack
from aws_cdk import aws_budgets as budgets
from constructs import Construct

# By this tag the bill tells the stages apart. A cost allocation tag counts from the day on which somebody
# activates it in the account's billing console (docs/deployment.md).
STAGE_TAG = "coldpress-stage"
_WARN_AT_PERCENT = 80


class StageBudget(Construct):
    """A monthly budget over everything with the stage's tag.

    E-mails go out when 80 % of it were spent, and when AWS forecasts that the month will cost more than all
    of it. A budget tells and stops nothing: what bounds the cost is throttling and reserved concurrency.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, stage: str, monthly_usd: float, email: str
    ) -> None:
        super().__init__(scope, construct_id)
        subscriber = budgets.CfnBudget.SubscriberProperty(subscription_type="EMAIL", address=email)
        self.budget = budgets.CfnBudget(
            self,
            "Budget",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_name=Stack.of(self).stack_name,
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(amount=monthly_usd, unit="USD"),
                cost_filters={"TagKeyValue": [f"user:{STAGE_TAG}${stage}"]},
            ),
            notifications_with_subscribers=[
                budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=budgets.CfnBudget.NotificationProperty(
                        notification_type=kind,
                        comparison_operator="GREATER_THAN",
                        threshold=percent,
                        threshold_type="PERCENTAGE",
                    ),
                    subscribers=[subscriber],
                )
                for kind, percent in (("ACTUAL", _WARN_AT_PERCENT), ("FORECASTED", 100))
            ],
        )
