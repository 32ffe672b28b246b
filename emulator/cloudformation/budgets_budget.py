"""AWS::Budgets::Budget."""

from typing import Self

from emulator import settings
from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource


class Budget(Resource):
    """A budget; nothing costs anything here, so it is never exceeded."""

    TYPE = "AWS::Budgets::Budget"

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:
        """CreateBudget with its notifications."""
        name = properties["Budget"].get("BudgetName", name)
        _create(name, properties, region)
        return cls(name, region, properties)

    def update(self, properties: Properties) -> bool:
        """Made anew under the same name: moto has no UpdateBudget."""
        if properties["Budget"].get("BudgetName") != self.properties["Budget"].get("BudgetName"):
            return False
        self.remove()
        _create(self.physical_resource_id, properties, self.region)
        return True

    def remove(self) -> None:
        """DeleteBudget."""
        client("budgets", self.region).delete_budget(
            AccountId=settings.ACCOUNT, BudgetName=self.physical_resource_id
        )


def _create(name: str, properties: Properties, region: str) -> None:
    budget = {**properties["Budget"], "BudgetName": name}
    limit = budget.get("BudgetLimit")
    if limit:
        budget["BudgetLimit"] = {**limit, "Amount": str(limit["Amount"])}
    client("budgets", region).create_budget(
        AccountId=settings.ACCOUNT,
        Budget=budget,
        NotificationsWithSubscribers=properties.get("NotificationsWithSubscribers", []),
    )
