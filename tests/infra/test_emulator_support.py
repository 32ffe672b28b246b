"""Whatever a stage can be configured to have, the emulator can deploy."""

from collections.abc import Callable
from typing import Any

import pytest
from moto.cloudformation import parsing

from emulator.cloudformation.types import RESOURCE_TYPES
from tests.infra import everything


@pytest.mark.parametrize("stage", [everything.HTTP, everything.REST], ids=["http", "rest"])
def test_every_resource_type_is_known_to_the_emulator(
    synthesise: Callable[..., Any], stage: dict[str, Any]
) -> None:
    templates = synthesise(stage)
    known = {resource.TYPE for resource in RESOURCE_TYPES}
    moto = [model for model in parsing.get_model_list() if model.__module__.startswith("moto.")]
    known |= {model.cloudformation_type() for model in moto}
    for stack in ("coldpress-registry", "coldpress-dev"):
        used = {resource["Type"] for resource in templates.stack(stack).content["Resources"].values()}
        custom = {kind for kind in used if kind.startswith("Custom::")}
        assert used - custom - known == set()
        assert not custom or "AWS::CloudFormation::CustomResource" in known
