"""What is late is given up, once, and what is not late pays for no thread that wakes up."""

import random
import time

import pytest

from handlers.inference.deadline import Watch, due_in


def test_what_ends_at_the_same_moment_is_either_in_time_or_given_up():
    given_up: list[float] = []
    now = [0.0]
    watch = Watch(lambda: given_up.append(now[0]))
    dice = random.Random(5)
    both = set()
    for number in range(400):
        now[0] = number
        watch.begin(time.monotonic() + dice.random() * 2e-4)
        end = time.monotonic() + dice.random() * 2e-4
        while time.monotonic() < end:
            pass
        is_in_time = watch.end()
        assert given_up.count(number) == (not is_in_time)
        both.add(is_in_time)
    assert both == {True, False}


def test_the_watch_does_not_look_at_each_request(monkeypatch):
    looks = []
    look = Watch._look
    monkeypatch.setattr(Watch, "_look", lambda self: looks.append(1) or look(self))
    watch = Watch(lambda: None)
    for _ in range(10_000):
        watch.begin(time.monotonic() + 60)
        assert watch.end()
    assert len(looks) <= 3


def test_what_is_due_earlier_than_the_last_is_not_forgotten():
    given_up: list[bool] = []
    watch = Watch(lambda: given_up.append(True))
    watch.begin(time.monotonic() + 3600)
    assert watch.end()
    watch.begin(time.monotonic() + 0.05)
    deadline = time.monotonic() + 60
    while not given_up and time.monotonic() < deadline:
        pass
    assert given_up
    assert not watch.end()


@pytest.mark.parametrize(("seconds", "margin"), [(29, 0.5), (5, 0.5), (1, 0.1), (0.2, 0.02)])
def test_the_margin_before_lambdas_deadline(seconds, margin):
    before = time.monotonic()
    asked = due_in(seconds) - seconds + margin
    assert before - 1e-9 <= asked <= time.monotonic() + 1e-9


@pytest.mark.parametrize("seconds", [None, 0, -3])
def test_no_deadline_and_one_that_has_passed_are_never_due(seconds):
    assert due_in(seconds) == float("inf")
    watch = Watch(pytest.fail)
    watch.begin(due_in(seconds))
    assert watch.end()
