"""Container images without containers: what CDK's ``docker build`` saw, kept as a folder per image.

    <images>/<sha256 of the tag>/image.json   what of the Dockerfile matters when it runs
    <images>/<sha256 of the tag>/context/     the build context
    <images>/tags.json                        tag -> folder

An image function runs from its context's root. So the Dockerfile's COPY lines must put the context's folders
under the task root by the names that they have in the context, and nothing is installed: Python packages
come from the emulator's own environment.
"""

import compileall
import copy
import hashlib
import json
import re
import shlex
import shutil
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

_CONTINUATION = re.compile(r"\\\s*\n")
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::-([^}]*))?\}|(\w+))")


class InvalidImage(Exception):
    """An image cannot be kept or found; the sentence says why."""


@dataclass
class ImageSettings:
    """What of a Dockerfile's final stage matters when the image runs."""

    entry_point: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    working_directory: str = ""
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Image:
    """An image: a folder in place of its file system, and its settings."""

    context: Path
    settings: ImageSettings


class ImageStore:
    """The images of one emulator."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tags = folder / "tags.json"

    def build(self, tag: str, context: Path, dockerfile: Path, build_args: dict[str, str]) -> None:
        """Keep ``context`` under ``tag``.

        Raises:
            InvalidImage: there is no Dockerfile, or it cannot be understood.
        """
        if not dockerfile.is_file():
            raise InvalidImage(f"There is no Dockerfile at {dockerfile}: name it with --file.")
        try:
            text = dockerfile.read_text(encoding="utf-8")
            settings = read_dockerfile(text, build_args)
        except ValueError as error:
            raise InvalidImage(f"{dockerfile} cannot be read as a Dockerfile: {error}.") from None
        target = self._folder / hashlib.sha256(tag.encode()).hexdigest()
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder) as temporary:
            new = Path(temporary, "image")
            shutil.copytree(context, new / "context", symlinks=True)
            if "compileall" in text:
                # As the Dockerfile does: else the first cold start would compile, and be no measure.
                compileall.compile_dir(new / "context", stripdir=new, prependdir=target, quiet=2)
            (new / "image.json").write_text(json.dumps(asdict(settings)), encoding="utf-8")
            if target.exists():
                target.rename(Path(temporary, "old"))
            new.rename(target)
        self._point(tag, target.name)

    def tag(self, source: str, target: str) -> None:
        """Give the image ``source`` another name.

        Raises:
            InvalidImage: there is no such image.
        """
        self._point(target, self._folder_name(source))

    def find(self, tag: str) -> Image:
        """The image of that name.

        Raises:
            InvalidImage: there is no such image.
        """
        folder = self._folder / self._folder_name(tag)
        settings = ImageSettings(**json.loads((folder / "image.json").read_text(encoding="utf-8")))
        return Image(folder / "context", settings)

    def _folder_name(self, tag: str) -> str:
        name = self._read_tags().get(tag)
        if name is None:
            raise InvalidImage(
                f"There is no image {tag} here: deploy with the emulator's environment (CDK_DOCKER), "
                "so that the emulator sees what is built."
            )
        return name

    def _read_tags(self) -> dict[str, str]:
        if not self._tags.exists():
            return {}
        tags: dict[str, str] = json.loads(self._tags.read_text(encoding="utf-8"))
        return tags

    def _point(self, tag: str, folder_name: str) -> None:
        tags = {**self._read_tags(), tag: folder_name}
        temporary = self._tags.with_suffix(".tmp")
        temporary.write_text(json.dumps(tags, indent=1), encoding="utf-8")
        temporary.replace(self._tags)


def read_dockerfile(text: str, build_args: dict[str, str]) -> ImageSettings:
    """ENTRYPOINT, CMD, WORKDIR and ENV of the final stage, with its ARGs and ENVs put in.

    A stage that builds on another one (FROM <name>) starts with that one's settings. What the base image
    itself sets is not known here.
    """
    stages: dict[str, ImageSettings] = {}
    stage = ImageSettings()
    arguments: dict[str, str] = {}
    for line in _CONTINUATION.sub(" ", _without_comments(text)).splitlines():
        instruction, _, rest = line.strip().partition(" ")
        rest = rest.strip()
        known = {**arguments, **stage.environment}
        match instruction.upper():
            case "ARG":
                name, _, default = rest.partition("=")
                arguments[name] = build_args.get(name, _substitute(default, known))
            case "FROM":
                words = [word for word in rest.split() if not word.startswith("--")]
                stage = copy.deepcopy(stages.get(words[0], ImageSettings()))
                stages[words[-1]] = stage
            case "ENV":
                stage.environment.update(
                    {name: _substitute(value, known) for name, value in _assignments(rest).items()}
                )
            case "WORKDIR":
                stage.working_directory = _substitute(rest, known)
            case "ENTRYPOINT":
                stage.entry_point, stage.command = _command(_substitute(rest, known)), []
            case "CMD":
                stage.command = _command(_substitute(rest, known))
    return stage


def _without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def _substitute(text: str, variables: dict[str, str]) -> str:
    """Put in what is known; what only the base image knows (LAMBDA_TASK_ROOT) stays as it is written."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[3]
        return variables.get(name, match[2] if match[2] is not None else match[0])

    return _VARIABLE.sub(value, text)


def _assignments(text: str) -> dict[str, str]:
    words = shlex.split(text)
    if words and "=" not in words[0]:  # the old form: ENV name the rest is the value
        return {words[0]: " ".join(words[1:])}
    return dict(word.split("=", 1) for word in words)


def _command(text: str) -> list[str]:
    if text.startswith("["):
        words: list[str] = json.loads(text)
        return words
    return ["/bin/sh", "-c", text]
