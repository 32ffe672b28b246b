"""What AWS charges: ``prices.toml``, dated and with its sources, and what a month's use costs by it."""

from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Literal

import msgspec

from coldpress.errors import CommandError

_FILE = Path(__file__).with_name("prices.toml")


class _Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings that all parts of the table share."""


class Source(_Struct, frozen=True, kw_only=True):
    """A page of prices, and when it was last compared."""

    url: str
    read: date


class Price(_Struct, frozen=True, kw_only=True):
    """One price; a tier is ``[up to how many units a month, dollars a unit]``."""

    tiers: list[tuple[float, float]]
    unit: str
    source: str
    evidence: Literal["aws", "others", "none"]

    def of(self, units: float) -> float:
        """What a month's ``units`` cost, each tier at its own price."""
        total, begin = 0.0, 0.0
        for end, dollars in self.tiers:
            total += max(0.0, min(units, end) - begin) * dollars
            begin = end
        return total


class Prices(_Struct, frozen=True, kw_only=True):
    """One region's prices."""

    lambda_request: Price
    lambda_x86_64: Price
    lambda_arm64: Price
    provisioned_x86_64: Price
    provisioned_arm64: Price
    provisioned_duration_x86_64: Price
    provisioned_duration_arm64: Price
    api_http: Price
    api_rest: Price
    transfer_out: Price
    log_ingestion: Price
    log_storage: Price
    metric: Price
    alarm: Price
    dashboard: Price
    s3_storage: Price
    s3_get: Price
    s3_put: Price
    firehose: Price
    image_storage: Price
    sagemaker_serverless: Price
    sagemaker_data: Price
    instance: Price

    def duration(self, architecture: str) -> Price:
        """A GB-second of an environment that was started on demand."""
        return self.lambda_arm64 if architecture == "arm64" else self.lambda_x86_64

    def provisioned(self, architecture: str) -> Price:
        """A GB-second that an environment is kept initialised, used or not."""
        return self.provisioned_arm64 if architecture == "arm64" else self.provisioned_x86_64

    def provisioned_duration(self, architecture: str) -> Price:
        """A GB-second of work in an environment that was kept initialised."""
        is_arm = architecture == "arm64"
        return self.provisioned_duration_arm64 if is_arm else self.provisioned_duration_x86_64


class Table(_Struct, frozen=True, kw_only=True):
    """``prices.toml``."""

    sources: dict[str, Source]
    regions: dict[str, Prices]

    @property
    def read(self) -> date:
        """The oldest look at a source."""
        return min(source.read for source in self.sources.values())


@lru_cache
def table() -> Table:
    """All prices that are known here."""
    return msgspec.toml.decode(_FILE.read_bytes(), type=Table)


def prices_of(region: str) -> Prices:
    """A region's prices.

    Raises:
        CommandError: the table does not have that region.
    """
    known = table().regions
    if region not in known:
        raise CommandError(
            f"prices.toml has no region '{region}': it has {', '.join(known)}; name one with --region, or "
            "add yours to the file."
        )
    return known[region]
