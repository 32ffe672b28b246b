"""Whatever happened to a function before, no version goes that somebody can still want."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.pretraffic import app
from handlers.pretraffic.versions import NEWEST, point, prune


class Refused(Exception):
    """As Lambda refuses: there is no such alias, or one that names the version."""


class Function:
    """boto3's Lambda client, of one function."""

    exceptions = SimpleNamespace(ResourceNotFoundException=Refused)

    def __init__(self, versions: set[int], aliases: dict[str, list[int]]) -> None:
        self.versions, self.aliases = versions, aliases

    def get_paginator(self, call: str) -> Any:
        key, items = {
            "list_versions_by_function": (
                "Versions",
                [{"Version": "$LATEST"}, *({"Version": str(number)} for number in self.versions)],
            ),
            "list_aliases": (
                "Aliases",
                [
                    {
                        "Name": name,
                        "FunctionVersion": str(first),
                        "RoutingConfig": {"AdditionalVersionWeights": {str(other): 0.1 for other in more}},
                    }
                    for name, (first, *more) in self.aliases.items()
                ],
            ),
        }[call]
        # A page each.
        return SimpleNamespace(paginate=lambda **_: [{key: [item]} for item in items])

    def update_alias(self, **request: str) -> None:
        if request["Name"] not in self.aliases:
            raise Refused
        self.aliases[request["Name"]] = [int(request["FunctionVersion"])]

    def create_alias(self, **request: str) -> None:
        assert request["Name"] not in self.aliases
        self.aliases[request["Name"]] = [int(request["FunctionVersion"])]

    def delete_alias(self, **request: str) -> None:
        del self.aliases[request["Name"]]

    def delete_function(self, **request: str) -> None:
        number = int(request["Qualifier"])
        if any(number in named for named in self.aliases.values()):
            raise Refused
        self.versions.remove(number)


def test_the_oldest_goes_when_there_are_too_many():
    function = Function(set(range(1, 13)), {"live": [12], "v1": [1], "v2": [2]})
    assert prune(function, "endpoint", previous="11", kept={"v2"}) == ["1"]
    assert function.versions == set(range(2, 13))
    assert set(function.aliases) == {"live", "v2"}


@given(st.data())
def test_what_somebody_can_want_stays(data):
    versions = data.draw(st.sets(st.integers(1, 60), min_size=1))
    names = st.sampled_from(["live", "shadow", *(f"v{n}" for n in range(1, 20))])
    one = st.sampled_from(sorted(versions))
    named = st.lists(one, min_size=1, max_size=2, unique=True)
    aliases = data.draw(st.dictionaries(names, named))
    for name in aliases:
        if name.startswith("v"):
            aliases[name] = aliases[name][:1]  # a release's alias has no weights
    previous = data.draw(st.none() | one)
    kept = data.draw(st.sets(names))
    function = Function(set(versions), dict(aliases))
    gone = prune(function, "endpoint", previous=None if previous is None else str(previous), kept=kept)
    assert function.versions == versions - {int(number) for number in gone}
    wanted = set(sorted(versions)[-NEWEST:]) | ({previous} - {None})
    for name, numbers in aliases.items():
        if name in kept or not name.startswith("v"):
            wanted |= set(numbers)
            assert function.aliases[name] == numbers
    assert function.versions == wanted


def test_a_release_has_an_alias_which_moves_when_it_is_released_again(monkeypatch):
    function = Function({3, 4}, {"live": [4]})
    monkeypatch.setattr(app, "_client", lambda _: function)
    told = []
    monkeypatch.setattr(app.resources, "answer", lambda *answer: told.append(answer[1:]))
    for version, old in ((3, None), (4, {"Version": "3"})):
        properties = {"FunctionName": "endpoint", "Version": str(version), "ModelVersion": "7"}
        event = {"RequestType": "Update" if old else "Create", "ResourceType": "Custom::ModelVersion"}
        event |= {"ResourceProperties": properties} | ({"OldResourceProperties": old} if old else {})
        app.handler(event, None)
        assert function.aliases["v7"] == [version]
    assert told == [("endpoint", None)] * 2


@pytest.mark.parametrize("broken", ["update_alias", "get_paginator"])
def test_only_an_alias_that_cannot_be_moved_fails_a_deployment(monkeypatch, capsys, broken):
    function = Function({3}, {"live": [3]})

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("not now")

    monkeypatch.setattr(function, broken, fail)
    monkeypatch.setattr(app, "_client", lambda _: function)
    told = []
    monkeypatch.setattr(app.resources, "answer", lambda *answer: told.append(answer[1:]))
    properties = {"FunctionName": "endpoint", "Version": "3", "ModelVersion": "7"}
    app.handler(
        {
            "RequestType": "Create",
            "ResourceType": "Custom::ModelVersion",
            "ResourceProperties": properties,
        },
        None,
    )
    ((_, problem),) = told
    if broken == "update_alias":
        assert problem == "the alias v7 could not be moved to version 3: not now"
    else:
        assert problem is None
        assert "not pruned" in capsys.readouterr().err


def test_point_makes_or_moves():
    function = Function({1, 2}, {})
    point(function, "endpoint", "v1", "1")
    point(function, "endpoint", "v1", "2")
    assert function.aliases == {"v1": [2]}
