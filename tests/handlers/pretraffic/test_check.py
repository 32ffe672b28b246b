"""A real bundle behind the real protocol: which versions are let through, and what stops the others."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle.arrays import golden_arrays
from bundle.manifest import decode
from handlers.inference.service import Service
from handlers.pretraffic.check import Check, Failed, Settings
from tests.handlers.pretraffic.aws import Bundles, Versions
from tests.handlers.test_loading import reseal

INPUT = np.float32([[1, 2, 3], [-0.5, 0, 4]])
ANSWER = 2 * INPUT + 1


class Time:
    """A clock that goes on only where somebody sleeps, or a model takes its time."""

    def __init__(self) -> None:
        self.now = 0.0

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


Golden = Callable[..., Path]


@pytest.fixture
def service(affine_bundle: Path) -> Service:
    """y = 2 x + 1."""
    return Service.from_folder(affine_bundle)


@pytest.fixture
def with_golden(make_bundle: Callable[..., Path], tmp_path: Path) -> Golden:
    """A bundle with one golden sample."""

    def make(wanted: np.ndarray = ANSWER, given: np.ndarray = INPUT, model: str = "affine") -> Path:
        source = make_bundle(model)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **golden_arrays([({"x": given}, {"y": wanted})]))
        shutil.copytree(source, tmp_path, dirs_exist_ok=True)
        reseal(source, tmp_path, "golden.npz", buffer.getvalue())
        return tmp_path

    return make


def check_of(folder: Path, versions: Versions, time: Time, **more: Any) -> Check:
    digest = decode((folder / "manifest.json").read_bytes()).digest
    settings = Settings(
        function="endpoint",
        version="7",
        model="toy",
        digest=digest,
        bucket="registry",
        latency_factor=5.0,
        is_provisioned=False,
    )
    return Check(
        settings._replace(**more), Bundles(folder), versions, clock=lambda: time.now, sleep=time.pass_by
    )


def test_the_same_answers_are_let_through_and_what_was_seen_is_kept(with_golden, service):
    check = check_of(with_golden(), Versions(service), Time())
    check.run()
    assert check.record["samples"] == 1
    assert check.record["differences"] == {"y": 0.0}
    (cpu,) = check.record["cpus"]  # of the version that answered
    assert cpu["flags"]


def test_other_answers_are_stopped(with_golden, service):
    check = check_of(with_golden(ANSWER + 0.5), Versions(service), Time())
    with pytest.raises(Failed, match=r"output 'y' of golden sample 0 differs by 0\.5 from the original"):
        check.run()
    assert check.record["differences"]["y"] == pytest.approx(0.5)


def test_a_thousandth_of_the_largest_value_is_allowed_and_no_more(with_golden, service):
    check_of(with_golden(ANSWER * np.float32(1.0009)), Versions(service), Time()).run()
    with pytest.raises(Failed, match="differs by"):
        check_of(with_golden(ANSWER * np.float32(1.0021)), Versions(service), Time()).run()


def test_no_number_where_one_is_wanted_is_stopped_and_elsewhere_it_is_not(with_golden, make_bundle):
    versions = Versions(Service.from_folder(make_bundle("logarithm")))
    given = np.float32([-1, 1])  # its logarithm is NaN, and 0
    check_of(with_golden(np.float32([np.nan, 0]), given, "logarithm"), versions, Time()).run()
    with pytest.raises(Failed, match="differs by inf"):
        check_of(with_golden(np.float32([1, 0]), given, "logarithm"), versions, Time()).run()


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "float16", "int64", "string"])
def test_every_kind_of_tensor_is_compared(with_golden, make_bundle, dtype):
    model = f"identity {dtype}"
    versions = Versions(Service.from_folder(make_bundle(model)))
    given = np.array([["a", "\u00fc"]]) if dtype == "string" else np.array([[0, 1]], dtype)
    check_of(with_golden(given, given, model), versions, Time()).run()
    with pytest.raises(Failed, match="differs by 1 "):
        check_of(with_golden(given[:, ::-1].copy(), given, model), versions, Time()).run()


def test_another_shape_is_stopped(with_golden, service):
    with pytest.raises(Failed, match="differs by inf"):
        check_of(with_golden(ANSWER[:1]), Versions(service), Time()).run()


def test_a_version_that_fails_is_stopped_with_its_own_words(with_golden, service):
    versions = Versions(service)
    versions.error = {"errorType": "Runtime.InitError", "errorMessage": "the bundle is not there"}
    with pytest.raises(Failed, match=r"the version fails: Runtime\.InitError: the bundle is not there"):
        check_of(with_golden(), versions, Time()).run()


def test_another_model_under_that_name_is_stopped(with_golden, affine_bundle):
    other = Service.from_folder(affine_bundle, name="another")
    with pytest.raises(Failed, match="status 404: there is no model 'toy' here"):
        check_of(with_golden(), Versions(other), Time()).run()


def test_a_slow_version_is_stopped(with_golden, service):
    time = Time()
    # 1 ms was measured; five times that and 100 ms are allowed.
    check_of(with_golden(), Versions(service, before=lambda: time.pass_by(0.104)), time).run()
    versions = Versions(service, before=lambda: time.pass_by(0.106))
    with pytest.raises(Failed, match=r"the fastest of 5 warm answers took 106\.0 ms of 105\.0 allowed"):
        check_of(with_golden(), versions, time).run()


def test_one_slow_answer_among_quick_ones_is_no_matter(with_golden, service):
    time = Time()
    delays = iter([9.0, 9.0, 0.001, 9.0, 9.0, 9.0])
    check_of(with_golden(), Versions(service, before=lambda: time.pass_by(next(delays))), time).run()


def test_a_bundle_without_samples_that_can_be_sent_is_at_least_started(affine_bundle, service):
    versions = Versions(service)
    check = check_of(affine_bundle, versions, Time())
    check.run()
    assert (check.record["samples"], versions.invoked) == (0, 1)
    versions.error = {"errorType": "Runtime.ExitError", "errorMessage": "it ended"}
    with pytest.raises(Failed, match="it ended"):
        check_of(affine_bundle, versions, Time()).run()


def test_another_golden_file_or_manifest_than_was_pushed_is_refused(with_golden, service):
    folder = with_golden()
    (folder / "golden.npz").write_bytes(b"another")
    with pytest.raises(Failed, match=r"golden\.npz is not the file that was pushed"):
        check_of(folder, Versions(service), Time()).run()
    with pytest.raises(Failed, match="was asked for"):
        check_of(folder, Versions(service), Time(), digest="0" * 64).run()


@pytest.mark.parametrize(
    ("statuses", "seconds", "end"),
    [
        (["READY"], 0, "READY"),
        ([None, "IN_PROGRESS", "IN_PROGRESS", "READY"], 6, "READY"),
        ([None], 182, "NONE"),  # Application Auto Scaling has not asked for it
        (["IN_PROGRESS"], 602, "IN_PROGRESS"),
    ],
)
def test_provisioned_concurrency_is_waited_for_and_no_longer_than_is_reasonable(
    with_golden, service, statuses, seconds, end
):
    time, versions = Time(), Versions(service)
    versions.provisioned = statuses
    check = check_of(with_golden(), versions, time, is_provisioned=True)
    check.run()
    assert (time.now, check.record["provisioned"]) == (seconds, end)


def test_an_init_that_fails_under_provisioned_concurrency_stops_the_version(with_golden, service):
    versions = Versions(service)
    versions.provisioned = ["IN_PROGRESS", "FAILED"]
    with pytest.raises(Failed, match="provisioned concurrency failed: FUNCTION_ERROR_INIT_FAILURE"):
        check_of(with_golden(), versions, Time(), is_provisioned=True).run()
    assert versions.invoked == 0
