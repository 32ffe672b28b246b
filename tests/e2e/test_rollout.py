"""New versions that must not serve: stopped before traffic, at a tenth of it, or in their init."""

import pytest

from examples.deployment import Failed
from tests.e2e.endpoint import BAD, total

CANARY = {"type": "canary", "percent": 10, "minutes": 30}


def test_other_answers_than_the_originals_never_reach_a_client(make_endpoint):
    endpoint = make_endpoint("answers", rollout=CANARY)
    endpoint.push(total(2), answer=20)
    endpoint.deployment.deploy()
    served = endpoint.alias["FunctionVersion"]
    assert endpoint.answer() == 20
    endpoint.push(total(3), answer=20)
    with pytest.raises(Failed, match="BeforeAllowTraffic"):
        endpoint.deployment.deploy()
    assert endpoint.status == "UPDATE_ROLLBACK_COMPLETE"
    assert endpoint.alias["FunctionVersion"] == served
    assert endpoint.answer() == 20
    endpoint.push(total(3), answer=30)
    endpoint.deployment.change(model={"versions": [1], "labels": {"stable": 1, "new": 3}})
    endpoint.deployment.deploy()
    assert endpoint.answer() == endpoint.answer("/versions/3") == endpoint.answer("/labels/new") == 30
    assert endpoint.answer("/versions/1") == endpoint.answer("/labels/stable") == 20
    assert endpoint.ask(version="/versions/2").status == 404


@pytest.mark.slow
def test_a_first_version_with_other_answers_is_no_endpoint(make_endpoint):
    endpoint = make_endpoint("first")
    endpoint.push(total(2), answer=21)
    with pytest.raises(Failed, match="golden sample 0 differs by 1 from the original"):
        endpoint.deployment.deploy()
    endpoint.push(total(2), answer=20)
    endpoint.deployment.deploy()
    assert endpoint.answer() == 20


def test_errors_at_a_tenth_of_the_traffic_bring_the_old_version_back(make_endpoint):
    endpoint = make_endpoint("errors", rollout=CANARY)
    endpoint.push(total(2), answer=20)
    endpoint.deployment.deploy()
    served = endpoint.alias["FunctionVersion"]
    endpoint.push(total(2, checks_shape=True), answer=20)
    with (
        endpoint.under_load(BAD) as load,
        pytest.raises(Failed, match="alarms have been activated"),
    ):
        endpoint.deployment.deploy()
    assert 0 < load.statuses[500] < load.statuses[200] / 2
    assert endpoint.status == "UPDATE_ROLLBACK_COMPLETE"
    assert endpoint.alias["FunctionVersion"] == served
    assert not endpoint.alias.get("RoutingConfig", {}).get("AdditionalVersionWeights")
    assert endpoint.ask(BAD).status == 200


@pytest.mark.slow
def test_an_init_that_fails_under_provisioned_concurrency_leaves_a_stack_that_can_be_deployed(make_endpoint):
    limits = {"min": 1, "max": 2}
    endpoint = make_endpoint("init", rollout=CANARY, provisioned_concurrency=limits)
    endpoint.push(total(2), answer=20)
    endpoint.deployment.deploy()
    first = endpoint.alias["FunctionVersion"]
    assert endpoint.provisioned == {first: "READY"}
    endpoint.deployment.change(transform="transforms.missing:Transform")
    with pytest.raises(Failed, match="BeforeAllowTraffic"):
        endpoint.deployment.deploy()
    assert endpoint.status == "UPDATE_ROLLBACK_COMPLETE"
    assert endpoint.alias["FunctionVersion"] == first
    assert endpoint.provisioned == {first: "READY"}
    assert endpoint.answer() == 20
    endpoint.deployment.change(transform=None)
    endpoint.push(total(3), answer=30)
    endpoint.deployment.deploy()
    second = endpoint.alias["FunctionVersion"]
    assert endpoint.answer() == 30
    assert (second != first, endpoint.provisioned) == (True, {second: "READY"})
    endpoint.deployment.change(provisioned_concurrency=None)
    endpoint.deployment.deploy()
    assert endpoint.provisioned == {}
    assert endpoint.answer() == 30


@pytest.mark.slow
def test_an_update_under_load_fails_no_request(make_endpoint):
    # One machine does it all here, so slowness is no reason to stop.
    endpoint = make_endpoint("load", rollout=CANARY, alarms={"p99_latency_ms": 30_000})
    endpoint.push(total(2), answer=20)
    endpoint.deployment.deploy()
    served = endpoint.alias["FunctionVersion"]
    endpoint.push(total(3), answer=30)
    with endpoint.under_load(clients=4) as load:
        endpoint.deployment.deploy()
        load.wait_for(5_000)
    assert endpoint.alias["FunctionVersion"] != served
    assert endpoint.answer() == 30
    assert set(load.statuses) == {200}, load.statuses
    old, new = (load.bodies[body] for body in (b'{"outputs":20.0}', b'{"outputs":30.0}'))
    assert old + new == load.statuses.total() >= 5_000
    assert min(old, new) > 0, load.bodies
