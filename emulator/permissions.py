"""Whether API Gateway may invoke a function: its resource policy, as AWS::Lambda::Permission writes it."""

from fnmatch import fnmatchcase
from typing import Any

from moto.awslambda.models import lambda_backends

from emulator import settings


def api_may_invoke(function_arn: str, source_arn: str) -> bool:
    """Whether a statement lets API Gateway invoke ``function_arn`` for the route ``source_arn``.

    ``function_arn`` has the qualifier that the integration names: a permission on the function itself does
    not cover its aliases.
    """
    _, _, _, region, _, _, name, *_ = function_arn.split(":")
    function = lambda_backends[settings.ACCOUNT][region]._lambdas._functions.get(name)
    if function is None:
        return False
    return any(
        _allows(statement, function_arn, source_arn) for statement in function["latest"].policy.statements
    )


def _allows(statement: dict[str, Any], function_arn: str, source_arn: str) -> bool:
    pattern = statement.get("Condition", {}).get("ArnLike", {}).get("AWS:SourceArn", "*")
    return (
        statement.get("Effect") == "Allow"
        and statement.get("Action") in ("lambda:InvokeFunction", "lambda:*", "*")
        and statement.get("Principal") == {"Service": "apigateway.amazonaws.com"}
        and statement.get("Resource") == function_arn
        and fnmatchcase(source_arn, pattern)
    )
