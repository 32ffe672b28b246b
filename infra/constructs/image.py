"""The one image of all functions: built here, or pushed before."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from aws_cdk import IgnoreMode
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.config import IMAGE_URI, Architecture

REPOSITORY_ROOT = Path(__file__).resolve().parents[2]


class Image(Protocol):
    """Where the image of the functions comes from."""

    def code(
        self, *, entrypoint: list[str] | None = None, cmd: list[str] | None = None
    ) -> lambda_.DockerImageCode:
        """For one function: started as its Dockerfile says, or otherwise."""


@dataclass(frozen=True)
class BuiltImage:
    """Built from this repository at each deployment that changes it."""

    architecture: Architecture

    def code(
        self, *, entrypoint: list[str] | None = None, cmd: list[str] | None = None
    ) -> lambda_.DockerImageCode:
        """See ``Image``."""
        # .dockerignore leaves in what the image is built from and nothing else, so that an edit elsewhere
        # deploys no new image.
        return lambda_.DockerImageCode.from_image_asset(
            str(REPOSITORY_ROOT),
            file="handlers/inference/Dockerfile",
            ignore_mode=IgnoreMode.DOCKER,
            platform=_PLATFORMS[self.architecture],
            entrypoint=entrypoint,
            cmd=cmd,
        )


@dataclass(frozen=True)
class PushedImage:
    """An image that was built from this repository before.

    Attributes:
        repository: where it was pushed to, in the region of the functions; it must let Lambda pull from it.
        digest: ``sha256:`` and 64 hex digits, never a tag, which somebody can move.
    """

    repository: ecr.IRepository
    digest: str

    def code(
        self, *, entrypoint: list[str] | None = None, cmd: list[str] | None = None
    ) -> lambda_.DockerImageCode:
        """See ``Image``."""
        return lambda_.DockerImageCode.from_ecr(
            self.repository, tag_or_digest=self.digest, entrypoint=entrypoint, cmd=cmd
        )


def pushed_image(scope: Construct, uri: str) -> PushedImage:
    """The image of the configuration's ``image``, which was checked before."""
    found = re.match(IMAGE_URI, uri)
    assert found is not None  # noqa: S101 - see above
    partition = "aws-cn" if found["suffix"] else "aws"
    repository = ecr.Repository.from_repository_attributes(
        scope,
        "Image",
        repository_arn=f"arn:{partition}:ecr:{found['region']}:{found['account']}:repository/{found['name']}",
        repository_name=found["name"],
    )
    return PushedImage(repository, found["digest"])


_PLATFORMS = {"x86_64": ecr_assets.Platform.LINUX_AMD64, "arm64": ecr_assets.Platform.LINUX_ARM64}
