"""`coldpress cost`: the bill against one made by hand, its properties, and the command."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coldpress import bill
from coldpress.bill import Workload
from coldpress.main import main
from coldpress.prices import Price, prices_of, table
from infra.config import Capture, Monitor

RATES = st.lists(st.floats(0, 500), min_size=24, max_size=24)
WORK = Workload(
    rates=[1.0] * 24,
    request_bytes=1000,
    response_bytes=1000,
    duration_ms=100,
    init_ms=1000,
    memory_mb=2048,
    architecture="x86_64",
    cold_share=0.01,
)
WAYS = {
    "on demand": bill.on_demand,
    "2 provisioned": lambda work, prices: bill.provisioned(work, prices, [2] * 24),
    "SageMaker": bill.sagemaker_serverless,
    "instances": bill.instances,
}


def test_on_demand_is_what_one_reckons_by_hand() -> None:
    # 1 request a second is 3600 * 730 = 2,628,000 a month; each 100 ms of 2 GB; 1 % of them wait 1 s more.
    requests = 2_628_000
    cost = bill.on_demand(WORK, prices_of("us-east-1"))
    assert cost["Lambda requests"] == pytest.approx(requests * 0.20 / 1e6)
    gb_seconds = requests * 0.1 * 2 + requests * 0.01 * 1 * 2
    assert cost["Lambda duration"] == pytest.approx(gb_seconds * 0.0000166667)
    assert cost["API Gateway"] == pytest.approx(2.628)
    assert cost["data transfer"] == pytest.approx(requests * 1000 / 1e9 * 0.09)
    logs = requests * 1430 / 1e9
    assert cost["watching"] == pytest.approx(logs * (0.50 + 0.03) + 5 * 0.30 + 7 * 0.10 + 3)
    assert set(cost) == {
        "Lambda requests",
        "Lambda duration",
        "API Gateway",
        "data transfer",
        "watching",
        "S3 and image",
    }


def test_a_shadow_is_what_one_reckons_by_hand() -> None:
    requests = 2_628_000 * 0.05
    prices = prices_of("us-east-1")
    cost = bill.on_demand(replace(WORK, shadow=0.05), prices)
    gb_seconds = requests * 0.1 * 2
    logs = requests * 1430 / 1e9
    wanted = requests * 0.20 / 1e6 + gb_seconds * 0.0000166667 + logs * (0.50 + 0.03) + 7 * 0.30
    assert cost.pop("shadow") == pytest.approx(wanted)
    assert cost == bill.on_demand(WORK, prices)


def test_a_capture_is_what_one_reckons_by_hand() -> None:
    requests = 2_628_000 * 0.1
    prices = prices_of("us-east-1")
    cost = bill.on_demand(replace(WORK, capture=0.1), prices)
    # A record of 2,350 bytes, of which 1,410 are left, counts as 5 KB; 8,760 objects are put in a month.
    wanted = requests * 5120 / 1024**3 * 0.029 + requests * (0.01 + 2350 * 2e-8) * 2 * 0.0000166667
    wanted += 8_760 * 5e-6 + requests * 1410 / 1e9 * 0.023
    assert cost.pop("capture") == pytest.approx(wanted)
    assert cost == bill.on_demand(WORK, prices)


@pytest.mark.parametrize("duration_ms", [5, 50])
@pytest.mark.parametrize("body_bytes", [200, 2_000, 20_000])
def test_capturing_at_the_default_rate_costs_less_than_a_hundredth(
    duration_ms: float, body_bytes: float
) -> None:
    rate = Capture().rate
    work = replace(WORK, duration_ms=duration_ms, request_bytes=body_bytes, capture=rate, memory_mb=1769)
    cost = bill.on_demand(work, prices_of("us-east-1"))
    assert cost["capture"] < 0.01 * (bill.total(cost) - cost["capture"])


def test_a_monitor_is_what_one_reckons_by_hand() -> None:
    prices = prices_of("us-east-1")
    cost = bill.on_demand(replace(WORK, capture=0.1, monitor_minutes=30), prices)
    runs, captured = 1_460, 2_628_000 * 0.1
    wanted = runs * (0.20 / 1e6 + 6 * 5e-6 + 10 * 4e-7) + 4 * 0.10
    wanted += (runs * 2.0 + captured * 0.0003) * 0.0000166667
    assert cost.pop("monitor") == pytest.approx(wanted)
    assert cost == bill.on_demand(replace(WORK, capture=0.1), prices)


@pytest.mark.parametrize(("rate", "most"), [(0.01, 0.1), (1, 0.045), (3.5, 0.02), (100, 0.006)])
def test_watching_costs_less_than_a_fiftieth_from_4_requests_a_second_on(rate: float, most: float) -> None:
    """A model of 12 ms, bodies of 2 KB and the defaults; below, it is 0.50 USD, whatever the traffic."""
    work = replace(
        WORK, rates=[rate] * 24, duration_ms=12, request_bytes=2000, response_bytes=2000, memory_mb=1769
    )
    work = replace(work, capture=Capture().rate, monitor_minutes=Monitor().every_minutes)
    prices = prices_of("us-east-1")
    cost = bill.on_demand(work, prices)
    serving = bill.total(cost) - cost["monitor"] - cost["capture"]
    assert bill.watched_share(work, prices) == pytest.approx((cost["monitor"] + cost["capture"]) / serving)
    assert bill.watched_share(work, prices) < most
    assert bill.watched_from(work, prices, 0.02) < 3.5


def test_the_command_says_from_how_much_traffic_watching_is_little(
    capsys: pytest.CaptureFixture[str],
) -> None:
    work = ["cost", "--rps", "1", "--duration-ms", "12", "--init-ms", "1000", "--monitor"]
    assert main([*work, "--capture", "0.01", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    rate = told["watching"]["at_most_0.02_from_rps"]
    assert f"at most 2% from {rate:,.1f} requests per second on" in told["conclusion"]
    assert main([*work, "--capture", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["watching"]["at_most_0.02_from_rps"] is None
    assert "never at most 2% here" in told["conclusion"]


def test_provisioned_is_what_one_reckons_by_hand() -> None:
    # One environment, and a load of 0.1 Erlang: 0.1 / 1.1 of the requests find it busy.
    cost = bill.provisioned(WORK, prices_of("us-east-1"), [1] * 24)
    requests, spilled = 2_628_000, 0.1 / 1.1
    assert cost["provisioned"] == pytest.approx(2_628_000 * 2 * 0.0000041667)
    warm = requests * (1 - spilled) * 0.1 * 2 * 0.0000097222
    cold = requests * spilled * (0.1 + 0.01) * 2 * 0.0000166667
    assert cost["Lambda duration"] == pytest.approx(warm + cold)


def test_tiers_and_units() -> None:
    prices = prices_of("us-east-1")
    assert prices.api_http.of(400e6) == pytest.approx(300 + 90)
    assert prices.api_rest.of(1_333e6) == pytest.approx(333 * 3.5 + 667 * 2.8 + 333 * 2.38)
    large = replace(WORK, request_bytes=513 * 1024)
    assert bill.on_demand(large, prices)["API Gateway"] == pytest.approx(2 * 2.628)
    rest = bill.on_demand(replace(large, api="rest"), prices)
    assert rest["API Gateway"] == pytest.approx(2.628 * 3.5)


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=100, deadline=None, derandomize=True)
@given(rates=RATES, more=RATES, duration=st.floats(0.1, 3000))
def test_more_traffic_never_costs_less(
    way: str, rates: list[float], more: list[float], duration: float
) -> None:
    prices = prices_of("eu-central-1")
    work = replace(WORK, rates=rates, duration_ms=duration)
    busier = replace(work, rates=[a + b for a, b in zip(rates, more, strict=True)])
    less, greater = (bill.total(WAYS[way](one, prices)) for one in (work, busier))
    assert greater >= less * (1 - 1e-12)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(rates=RATES, more=RATES)
def test_more_traffic_never_needs_fewer_environments(rates: list[float], more: list[float]) -> None:
    def needed(rates: Sequence[float]) -> list[int]:
        return bill.environments_for(replace(WORK, rates=rates), 0.01)

    few, many = needed(rates), needed([a + b for a, b in zip(rates, more, strict=True)])
    assert all(1 <= a <= b for a, b in zip(few, many, strict=True))
    for rate, number in zip(rates, few, strict=True):
        assert bill.busy_share(rate * 0.1, number) <= 0.01
        assert number == 1 or bill.busy_share(rate * 0.1, number - 1) > 0.01


def test_break_even_is_where_both_cost_the_same() -> None:
    prices = prices_of("us-east-1")
    rate = bill.instance_break_even(WORK, prices)
    demand = bill.on_demand(replace(WORK, rates=[rate] * 24), prices)
    own = prices.instance.of(730) + prices.image_storage.of(0.25)
    shared = demand["watching"] + demand["data transfer"]
    assert bill.total(demand) - shared == pytest.approx(own, rel=1e-6)
    # In us-east-1 an environment must be busy 60 % of the time, in eu-central-1 it never pays.
    assert bill.worthwhile_use(prices, "x86_64") == pytest.approx(0.6, abs=1e-3)
    assert bill.worthwhile_use(prices_of("eu-central-1"), "x86_64") > 1


def test_every_price_is_dated_and_has_its_source() -> None:
    prices = table()
    assert {"us-east-1", "eu-central-1"} <= set(prices.regions)
    for region in prices.regions.values():
        for name in region.__struct_fields__:
            price: Price = getattr(region, name)
            assert price.source in prices.sources
            assert price.tiers[-1][0] == float("inf")
            assert all(dollars > 0 for _, dollars in price.tiers)
    for source in prices.sources.values():
        assert source.url.startswith("https://aws.amazon.com/")
        assert date(2026, 1, 1) <= source.read


def test_the_command_reckons_from_a_bundle(pressed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    day = ",".join(["0.5"] * 8 + ["20"] * 10 + ["2"] * 6)
    assert main(["cost", str(pressed), "--rps", day, "--region", "eu-central-1", "--json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert told["requests_per_month"] == pytest.approx((0.5 * 8 + 20 * 10 + 2 * 6) * 3600 * 730 / 24)
    for one in told["bills"].values():
        assert one.pop("total") == pytest.approx(sum(one.values()))
    assert "instance" in told["unverified_prices"]
    assert told["conclusion"].endswith(".")


def test_the_command_prints_a_table_a_chart_and_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "--rps", "10", "--duration-ms", "12", "--init-ms", "200"]) == 0
    text = capsys.readouterr().out
    assert "API Gateway" in text
    assert "█" in text
    assert "At 26.28 million requests a month" in text
    assert "Prices of us-east-1 as of 2026-" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--rps", "1"], "--duration-ms is missing"),
        (["--rps", "1", "--duration-ms", "1"], "--init-ms is missing"),
        (["--rps", "1", "--duration-ms", "1", "--init-ms", "1", "--region", "mars"], "no region 'mars'"),
        (["--rps", "1", "--duration-ms", "1", "--init-ms", "1", "--memory", "64"], "128 to 10240"),
        (["--rps", "1", "--duration-ms", "1", "--init-ms", "1", "--provisioned", "0"], "the smallest number"),
        (["--rps", "1", "--duration-ms", "1", "--init-ms", "1", "--monitor", "90"], "minutes from 1 to 60"),
        (["nowhere", "--rps", "1"], "nowhere is not a bundle"),
    ],
)
def test_wrong_input_is_one_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cost", *arguments]) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("rates", ["", "x", "-1", "1,2", "nan"])
def test_wrong_rates_say_what_a_day_has(rates: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["cost", f"--rps={rates}", "--duration-ms", "1", "--init-ms", "1"])
    assert "--rps" in capsys.readouterr().err
