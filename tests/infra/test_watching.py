"""`coldpress cost` reckons with as much watching as a stage has."""

import json
from collections.abc import Callable
from typing import Any

from coldpress import bill
from handlers.inference import metrics


def test_the_bill_counts_what_the_template_has(synthesise: Callable[..., Any]) -> None:
    stage = {"model": {"name": "ocr", "digest": "0123456789abcdef" * 4}}
    template = synthesise(stage).stack("coldpress-dev")
    assert len(template.all("AWS::CloudWatch::Alarm")) == bill.ALARMS
    assert len(template.all("AWS::CloudWatch::Dashboard")) == bill.DASHBOARDS
    assert metrics._METRICS.count('"Name"') == bill.METRICS


def test_models_of_one_stage_share_a_dashboard_and_each_has_its_own_part(
    synthesise: Callable[..., Any],
) -> None:
    pin = {"digest": "0123456789abcdef" * 4}
    template = synthesise({"models": {"ocr": pin, "layout": pin}}).stack("coldpress-dev")
    body = template.properties("AWS::CloudWatch::Dashboard")["DashboardBody"]["Fn::Join"][1]
    text = "".join(part if isinstance(part, str) else "token" for part in body)
    widgets = json.loads(text)["widgets"]
    titles = [one["properties"]["markdown"] for one in widgets if one["type"] == "text"]
    assert titles == ["# ocr", "# layout"]
    assert [one["properties"].get("title") for one in widgets].count("Alarms") == 2
