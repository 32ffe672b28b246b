"""What a REST API says to browsers: by methods of its own, by its errors, and through the functions."""

from infra.config import ApiConfig, Cors
from infra.constructs.openapi import Document

# Of a function's answers (handlers/inference/function.py).
VARIABLE = "COLDPRESS_CORS_ORIGIN"
_KEY_HEADER = "x-api-key"


def origin(cors: Cors) -> str:
    """The one origin that a REST API names."""
    return cors.origins[0]


def preflight(config: ApiConfig, cors: Cors) -> Document:
    """The operation that answers OPTIONS: nobody is asked, because a browser signs none."""
    headers = [*cors.headers]
    if config.authorization == "api_key" and _KEY_HEADER not in headers:
        headers.append(_KEY_HEADER)
    said = {
        "Access-Control-Allow-Origin": origin(cors),
        "Access-Control-Allow-Methods": "GET,POST",
        "Access-Control-Allow-Headers": ",".join(headers),
        "Access-Control-Max-Age": str(cors.max_age_s),
    }
    return {
        "responses": {"204": {"description": "", "headers": dict.fromkeys(said, _TEXT)}},
        "x-amazon-apigateway-integration": {
            "type": "mock",
            # Where all media types count as binary, the template is not read without this.
            "contentHandling": "CONVERT_TO_TEXT",
            "requestTemplates": {"application/json": '{"statusCode": 204}'},
            "responses": {
                "default": {
                    "statusCode": "204",
                    "responseParameters": {
                        f"method.response.header.{name}": f"'{value}'" for name, value in said.items()
                    },
                }
            },
        },
    }


def gateway_responses(cors: Cors) -> Document:
    """With what the API's own errors are sent, which no function sees: else a page could not read them."""
    parameters = {"gatewayresponse.header.Access-Control-Allow-Origin": f"'{origin(cors)}'"}
    return {kind: {"responseParameters": parameters} for kind in ("DEFAULT_4XX", "DEFAULT_5XX")}


_TEXT: Document = {"schema": {"type": "string"}}
