"""What stands in for docker, as the CDK calls it."""

import subprocess
from pathlib import Path

import pytest

from emulator.docker import main
from emulator.images import ImageStore, InvalidImage, read_dockerfile
from emulator.server import environment


@pytest.fixture
def context(tmp_path):
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text('FROM base\nCMD ["app.handler"]\n')
    (folder / "app.py").write_text("one")
    return folder


def test_build_tag_and_push_as_the_cdk_calls_them(tmp_path, context):
    docker = environment("http://localhost:1", tmp_path)["CDK_DOCKER"]

    def run(*words):
        return subprocess.run(
            [docker, *words], cwd=context, input=b"password", capture_output=True, check=False
        )

    assert run("login", "--username", "AWS", "--password-stdin", "https://1.ecr").returncode == 0
    assert run("inspect", "cdkasset-1").returncode == 1
    assert run("build", "--tag", "cdkasset-1", "--platform", "linux/amd64", ".").returncode == 0
    assert run("tag", "cdkasset-1", "1.ecr/repo:1").returncode == 0
    assert run("push", "1.ecr/repo:1").returncode == 0
    image = ImageStore(tmp_path / "images").find("1.ecr/repo:1")
    assert image.settings.command == ["app.handler"]
    (context / "app.py").write_text("two")
    assert (image.context / "app.py").read_text() == "one"  # a copy: what was built, not what is there now
    unbuilt = run("push", "1.ecr/repo:2")
    assert unbuilt.returncode == 1
    assert b"There is no image 1.ecr/repo:2" in unbuilt.stderr


def test_a_build_that_it_cannot_do_is_refused(tmp_path, context, capsys):
    words = ["--images", str(tmp_path / "images"), "build", "--tag", "t"]
    assert main([*words, "--secret", "id=x", str(context)]) == 1
    assert "--secret" in capsys.readouterr().err
    assert main([*words, "--target", "dev", str(context)]) == 1
    assert main([*words, "--file", "Other", str(context)]) == 1
    assert "There is no Dockerfile at" in capsys.readouterr().err
    with pytest.raises(InvalidImage):
        ImageStore(tmp_path / "images").find("t")


def test_building_again_replaces_the_image(tmp_path, context):
    store = ImageStore(tmp_path / "images")
    store.build("t", context, context / "Dockerfile", {})
    (context / "app.py").unlink()
    store.build("t", context, context / "Dockerfile", {})
    assert [path.name for path in store.find("t").context.iterdir()] == ["Dockerfile"]


def test_the_final_stage_counts():
    settings = read_dockerfile(
        """
        # CMD ["comment"]
        ARG BASE=python:3.13
        FROM ${BASE} AS build
        ENV ONE=1 TWO="two words"
        CMD ["build.handler"]
        RUN pip install \\
            --target /opt something
        FROM build AS middle
        WORKDIR ${LAMBDA_TASK_ROOT}
        ARG NAME=default
        ENV NAME=$NAME OLD=${ONE}
        ENV LEGACY the rest
        FROM middle
        ENTRYPOINT ["python", "-m", "mine"]
        CMD ["final.handler"]
        """,
        {"NAME": "given"},
    )
    assert settings.entry_point == ["python", "-m", "mine"]
    assert settings.command == ["final.handler"]
    assert settings.working_directory == "${LAMBDA_TASK_ROOT}"
    assert settings.environment == {
        "ONE": "1",
        "TWO": "two words",
        "NAME": "given",
        "OLD": "1",
        "LEGACY": "the rest",
    }


def test_a_new_base_forgets_the_stage_before():
    settings = read_dockerfile('FROM a AS b\nENV X=1\nCMD ["x"]\nFROM c\nCOPY --from=b /x /x\n', {})
    assert (settings.command, settings.environment) == ([], {})


def test_the_stand_in_needs_nothing_from_its_folder(tmp_path, context):
    """The CDK runs it in the build context, which may hold folders named like this project's."""
    (context / "emulator").mkdir()
    (context / "emulator" / "__init__.py").write_text("raise SystemExit(9)")
    docker = Path(environment("http://localhost:1", tmp_path)["CDK_DOCKER"])
    assert subprocess.run([docker, "inspect", "x"], cwd=context, check=False).returncode == 1
