"""What the OpenAPI documents of both kinds of API have in common."""

from collections.abc import Callable
from typing import Any

import jsii
from aws_cdk import IResolvable, IStableAnyProducer, Lazy, Stack
from aws_cdk import aws_lambda as lambda_

Document = dict[str, Any]
# Requests signed with AWS credentials.
SIGNED: Document = {
    "type": "apiKey",
    "name": "Authorization",
    "in": "header",
    "x-amazon-apigateway-authtype": "awsSigv4",
}


def integration(target: lambda_.IFunction, *, call: str = "2015-03-31/{}/invocations") -> Document:
    """How a document says that ``target`` answers, which may be an alias, and by which call of Lambda's."""
    stack = Stack.of(target)
    function = f"lambda:path/{call.format(f'functions/{target.function_arn}')}"
    return {
        "type": "aws_proxy",
        "httpMethod": "POST",
        "uri": f"arn:{stack.partition}:apigateway:{stack.region}:{function}",
    }


def later(document: Callable[[], Document]) -> IResolvable:
    """The document when all models are known."""
    return Lazy.any(_Producer(document))


@jsii.implements(IStableAnyProducer)
class _Producer:
    def __init__(self, document: Callable[[], Document]) -> None:
        self._document = document

    def produce(self) -> Any:
        """What Lazy asks for."""
        return self._document()
