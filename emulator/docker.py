"""What stands in for docker when the CDK builds and pushes an image (its variable CDK_DOCKER).

It answers the five commands that the CDK sends: login, inspect, build, tag and push. A build keeps the
context instead of running the Dockerfile; see ``emulator.images``.
"""

import argparse
import sys
from pathlib import Path

from emulator.images import ImageStore, InvalidImage


def main(arguments: list[str] | None = None) -> int:
    """Answer one docker command; the exit status."""
    parser = argparse.ArgumentParser(prog="docker", description=__doc__)
    parser.add_argument("--images", type=Path, required=True)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("login")
    commands.add_parser("inspect")
    build = commands.add_parser("build")
    build.add_argument("--tag", "-t", required=True)
    build.add_argument("--file", "-f", type=Path)
    build.add_argument("--build-arg", action="append", default=[])
    build.add_argument("context", type=Path)
    for option in ("--platform", "--target", "--network", "--output", "--cache-from", "--cache-to"):
        build.add_argument(option)
    tag = commands.add_parser("tag")
    tag.add_argument("source")
    tag.add_argument("target")
    push = commands.add_parser("push")
    push.add_argument("tag")
    options, unknown = parser.parse_known_args(arguments)
    store = ImageStore(options.images)
    if options.command == "login":
        sys.stdin.read()  # the password: the CDK waits until somebody takes it
        return 0
    if options.command == "inspect":
        return 1  # nothing is here yet: build it
    try:
        return _store(store, options, unknown)
    except InvalidImage as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _store(store: ImageStore, options: argparse.Namespace, unknown: list[str]) -> int:
    if options.command == "build":
        if unknown or options.target:
            raise InvalidImage(
                f"The emulator cannot build with {' '.join(unknown) or '--target'}: use docker or podman."
            )
        dockerfile = options.context / (options.file or "Dockerfile")
        store.build(
            options.tag, options.context, dockerfile, dict(a.split("=", 1) for a in options.build_arg)
        )
    elif options.command == "tag":
        store.tag(options.source, options.target)
    elif options.command == "push":
        store.find(options.tag)
    return 0


if __name__ == "__main__":
    sys.exit(main())
