"""`coldpress label`: what it uploads, once, and what it says of a wrong line."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from coldpress.main import main
from monitoring.labels import GroundTruth, read_line
from tests.coldpress.stages import Account, template_of

BUCKET = "label-captures"
WHERE = ("--bucket", BUCKET, "--model", "classifier")
SAGEMAKER = {
    "groundTruthData": {"data": "1", "encoding": "CSV"},
    "eventMetadata": {"eventId": "b"},
    "eventVersion": "0",
}
Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def account(account: Account) -> Account:
    account.client("s3").create_bucket(Bucket=BUCKET)
    template = template_of("1" * 64, 1, {})
    template["Outputs"]["CaptureBucket"] = {"Value": BUCKET}
    account.client("cloudformation").create_stack(StackName="kept", TemplateBody=json.dumps(template))
    account.deploy("unkept", "1" * 64)
    return account


@pytest.fixture
def run(account: Account, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """The command: its exit status, and all that it said."""

    def run(*arguments: object) -> tuple[int, str]:
        status = main(["label", *map(str, arguments)])
        told = capsys.readouterr()
        return status, told.out + told.err

    yield run
    s3 = account.client("s3")
    for key in objects(account):
        s3.delete_object(Bucket=BUCKET, Key=key)


def objects(account: Account) -> dict[str, list[GroundTruth]]:
    s3: Any = account.client("s3")
    found = {}
    for entry in s3.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        content = s3.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read()
        found[entry["Key"]] = [read_line(line) for line in content.splitlines()]
    return found


def write(folder: Path, text: str, name: str = "truth.jsonl") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_a_file_is_uploaded_once(run: Run, account: Account, tmp_path: Path) -> None:
    lines = [
        '{"inferenceId": "a", "label": 1}',
        "",
        json.dumps(SAGEMAKER),
        '{"inferenceId": "a", "label": 1}',
    ]
    file = write(tmp_path, "\n".join(lines) + "\n")
    status, told = run("kept", file)
    ((key, labels),) = objects(account).items()
    assert labels == [GroundTruth("a", 1), GroundTruth("b", 1)]
    assert key.startswith("labels/model=classifier/")
    assert (status, told) == (0, f"s3://{BUCKET}/{key} now holds 2 labels of classifier\n")
    # The same in another form is the same.
    table = write(tmp_path, "inferenceId,label,by\r\na,1,me\r\nb,1,me\r\n", "truth.csv")
    status, told = run(*WHERE, table, "--json")
    assert json.loads(told) == {"bucket": BUCKET, "key": key, "labels": 2, "created": False}
    assert list(objects(account)) == [key]


def test_one_label_needs_no_file(run: Run, account: Account) -> None:
    for label, value in (("1", 1), ("0.5", 0.5), ("cat", "cat"), ("true", True)):
        assert run("kept", "--id", f"order-{label}", "--label", label)[0] == 0
        assert [GroundTruth(f"order-{label}", value)] in objects(account).values()
    _, told = run("kept", "--id", "order-1", "--label", "1")
    assert told.endswith(" already holds 1 label of classifier\n")


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        (
            "a.jsonl",
            '{"inferenceId": "a", "label": 1}\n{"inferenceId": "b"}\n',
            "line 2 is no label: it is not",
        ),
        ("a.jsonl", '\n\n{"inferenceId"', "line 3 is no label: it is no JSON"),
        ("a.csv", "inferenceId,label\na,1\nb,\n", "line 3 is no label: its label is no number"),
        ("a.csv", "id,label\na,1\n", "line 1 names no column 'inferenceId': it needs inferenceId and label"),
        ("a.csv", 'inferenceId,label\n"a\nb",1\n,1\n', "line 4 is no label: its inferenceId is empty"),
        ("a.jsonl", " \n", "a.jsonl holds no label."),
        (
            "a.jsonl",
            '{"inferenceId": "a", "label": 1}\n{"inferenceId": "a", "label": 2}\n',
            "line 2 says of a something else than line 1",
        ),
    ],
)
def test_a_wrong_line_is_named_and_nothing_uploaded(  # noqa: PLR0917 - three are the table's
    run: Run, account: Account, tmp_path: Path, name: str, text: str, sentence: str
) -> None:
    status, told = run("kept", write(tmp_path, text, name))
    assert status == 2
    assert sentence in told
    assert told.count("\n") == 1
    assert objects(account) == {}


def test_a_file_that_is_no_text_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    status, told = run("kept", tmp_path / "a.csv")
    assert (status, told.partition(": error: ")[2].partition(" is ")[2]) == (
        2,
        "no UTF-8: save it as that.\n",
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("unkept", "--id", "a", "--label", "1"), "keeps no requests of classifier, so labels would belong"),
        (("gone", "--id", "a", "--label", "1"), "there is no stack 'gone' in this region"),
        (("kept",), "it takes STACK and FILE here, but was given kept"),
        (("kept", "a", "--id", "a", "--label", "1"), "it takes STACK here, but was given kept a"),
        (("kept", "--id", "a"), "--id and --label belong together"),
        (("kept", "--id", "", "--label", "1"), "its inferenceId is empty"),
        (
            ("--bucket", BUCKET, "--id", "a", "--label", "1"),
            "--bucket needs the model whose labels these are",
        ),
        (
            ("--bucket", "no-such-bucket-here", "--model", "m", "--id", "a", "--label", "1"),
            "there is no bucket no-such-bucket-here",
        ),
        (("kept", "missing.jsonl"), "No such file"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    run: Run, arguments: tuple[str, ...], sentence: str
) -> None:
    status, told = run(*arguments)
    assert status == 2
    assert sentence in told
    assert told.count("\n") == 1
