import errno
import os

import msgspec
import pytest

from optimizer.work import Work


class Result(msgspec.Struct):
    number: float


def test_what_is_saved_is_loaded_by_another_process(tmp_path):
    Work(tmp_path, tmp_path).save("a.result", Result(1.5))
    assert Work(tmp_path, tmp_path).load("a.result", Result) == Result(1.5)
    assert Work(tmp_path, tmp_path).load("b.result", Result) is None


def test_a_damaged_result_counts_as_none(tmp_path):
    work = Work(tmp_path, tmp_path)
    work.write("a.result", b"\xc1")
    assert work.load("a.result", Result) is None


def test_a_file_is_made_once(tmp_path):
    work = Work(tmp_path, tmp_path)
    assert work.file("f", lambda: b"first").read_bytes() == b"first"
    assert work.file("f", lambda: b"second").read_bytes() == b"first"


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    work = Work(tmp_path, tmp_path)

    def full(_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="full"):
        work.write("f", b"data")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_a_live_one_writes_is_not(tmp_path):
    (tmp_path / ".partial-999999999-f").touch()
    (tmp_path / f".partial-{os.getppid()}-f").touch()
    Work(tmp_path, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f".partial-{os.getppid()}-f"]
