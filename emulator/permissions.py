"""Whether another service may invoke a function: its resource policy, of AWS::Lambda::Permission."""

from fnmatch import fnmatchcase
from typing import Any

from moto.awslambda.models import lambda_backends

from emulator import settings


def may_invoke(service: str, function_arn: str, source_arn: str) -> bool:
    """Whether a statement lets ``service`` invoke ``function_arn`` for the route or rule ``source_arn``.

    ``function_arn`` has the qualifier that the service names: a permission on the function itself does not
    cover its aliases.
    """
    _, _, _, region, _, _, name, *_ = function_arn.split(":")
    function = lambda_backends[settings.ACCOUNT][region]._lambdas._functions.get(name)
    if function is None:
        return False
    return any(
        _allows(statement, service, function_arn, source_arn)
        for statement in function["latest"].policy.statements
    )


def _allows(statement: dict[str, Any], service: str, function_arn: str, source_arn: str) -> bool:
    pattern = statement.get("Condition", {}).get("ArnLike", {}).get("AWS:SourceArn", "*")
    return (
        statement.get("Effect") == "Allow"
        and statement.get("Action") in ("lambda:InvokeFunction", "lambda:*", "*")
        and statement.get("Principal") == {"Service": service}
        and statement.get("Resource") == function_arn
        and fnmatchcase(source_arn, pattern)
    )
