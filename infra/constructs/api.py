"""The API that the configuration asks for."""

from typing import TypeAlias

from aws_cdk import aws_kms as kms
from constructs import Construct

from infra.config import ApiConfig
from infra.constructs.http_api import HttpInferenceApi
from infra.constructs.rest_api import RestInferenceApi

InferenceApi: TypeAlias = HttpInferenceApi | RestInferenceApi


def build_api(
    scope: Construct, construct_id: str, *, config: ApiConfig, key: kms.IKey | None = None
) -> InferenceApi:
    """An HTTP API, or a REST API where the configuration says so.

    Each has logical ids of its own: CloudFormation refuses another type under the same one, so a stage could
    not change from one kind to the other.
    """
    if config.api == "rest":
        return RestInferenceApi(scope, f"Rest{construct_id}", config=config, key=key)
    return HttpInferenceApi(scope, construct_id, config=config, key=key)
