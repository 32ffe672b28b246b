"""The handbook's page names every key that cdk.json takes."""

from pathlib import Path

import msgspec
import pytest

from infra.config import (
    Alarms,
    Budget,
    Cors,
    Domain,
    Jwt,
    Model,
    ProvisionedConcurrency,
    Quota,
    RegistryConfig,
    StageConfig,
    Throttling,
)

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "deployment.md").read_text()


@pytest.mark.parametrize(
    "section",
    [
        StageConfig,
        RegistryConfig,
        Budget,
        Cors,
        Domain,
        Jwt,
        Quota,
        ProvisionedConcurrency,
        Throttling,
        Alarms,
    ],
)
def test_every_key_is_in_the_table(section: type[msgspec.Struct]) -> None:
    missing = [name for name in section.__struct_fields__ if name != "model" and f"`{name}`" not in PAGE]
    assert missing == []


def test_every_key_of_the_model_is_in_the_table() -> None:
    assert all(f"`model.{name}`" in PAGE for name in Model.__struct_fields__)
