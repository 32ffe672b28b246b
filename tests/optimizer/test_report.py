import xml.etree.ElementTree as ET

import msgspec
import pytest

from bundle.manifest import AppliedPass, Figures, Manifest, Metric, Signature, Source
from optimizer.choose import Measured
from optimizer.evaluate import Scores
from optimizer.measure import Latency
from optimizer.report import Findings, Search, render
from optimizer.report.front import Point, pareto, plot
from optimizer.report.layers import layer_section
from optimizer.report.style import PAGE
from optimizer.search.layers import LayerFigures, LayerTable
from optimizer.search.plan import ORIGINAL, TREATMENTS, WORDS, Plan
from optimizer.verify import Verified
from optimizer.worst import WorstSample

NASTY = "<script>alert('&')</script>"


def point(gain, drop, label="", kind="within"):
    return Point(gain, drop, "1", label, f"about {label}", kind)


def drawn(points, bound=0.01):
    return ET.fromstring(plot(points, bound=bound, x_label="times as fast", y_label="drop & more"))


class TestPlot:
    def test_it_is_well_formed_and_escapes_what_it_is_given(self):
        root = drawn([point(1.0, 0.0, NASTY), point(2.0, float("nan"), "b", "outside")])
        assert NASTY in "".join(root.itertext())
        assert len(root.findall(".//circle")) == 2
        assert not root.findall(".//script")

    def test_the_front_is_what_no_other_beats(self):
        slow, cheap, beaten, fast, broken = (
            point(1.0, 0.0),
            point(1.5, 0.001),
            point(1.4, 0.002),
            point(2.0, 0.02),
            point(3.0, float("nan")),
        )
        assert pareto([fast, beaten, slow, broken, cheap]) == [slow, cheap, fast]
        assert len(drawn([fast, beaten, slow, cheap]).findall(".//line[@class='front']")) == 4

    def test_labels_touch_neither_each_other_nor_the_bound_nor_dots(self):
        points = [point(1 + index / 50, 0.0095 + index / 5000, f"candidate {index}") for index in range(8)]
        root = drawn(points)
        bound = float(root.find(".//line[@class='bound']").get("y1"))
        labels = []
        for e in root.iter("text"):
            if e.get("class") == "label":
                width = len(e.text) * 6.9
                left = float(e.get("x")) - (width if e.get("text-anchor") == "end" else 0)
                labels.append((left, float(e.get("y")) - 13, width))
        dots = [(float(e.get("cx")), float(e.get("cy"))) for e in root.iter("circle")]
        assert len(labels) > 1
        for left, top, width in labels:
            assert not top < bound < top + 18
            assert not [1 for x, y in dots if left < x < left + width and top < y < top + 18]
        for index, (left, top, width) in enumerate(labels):
            for other_left, other_top, other_width in labels[:index]:
                apart = left >= other_left + other_width or other_left >= left + width
                assert apart or abs(top - other_top) >= 18

    def test_hovering_tells_of_a_dot_that_another_hides(self):
        root = drawn([point(1.0, 0.0, "above"), point(1.0, 0.0, "below"), point(2.0, 0.0, "far")])
        titles = {title.text for title in root.iter("title")}
        assert titles == {"about above\n\nabout below", "about below\n\nabout above", "about far"}

    @pytest.mark.parametrize("bound", [0.0, 1e-6, 0.5])
    def test_one_candidate_and_any_bound_can_be_drawn(self, bound):
        assert len(drawn([point(1.0, 0.0)], bound).findall(".//circle")) == 1


def table(count):
    return LayerTable(
        [
            LayerFigures(
                layer=f"{NASTY}{index}",
                operator="Conv",
                treatment=treatment,
                ms=1.0 + index,
                size_bytes=100.0,
                error=error,
            )
            for index in range(count)
            for treatment, error in (
                (None, 0.0),
                ("static", float("inf")),
                ("dynamic", 1e-5),
                ("nbits", 0.0),
                ("storage", float("nan")),
            )
        ]
    )


class TestLayers:
    @pytest.mark.parametrize("count", [1, 5, 150])
    def test_every_layer_has_its_line_in_the_order_of_the_graph(self, count):
        chosen = {f"{NASTY}0": "static", f"{NASTY}{count - 1}": "dynamic", "gone": "dynamic"}
        section = layer_section(table(count), chosen)
        assert "nan%" not in section
        root = ET.fromstring(f"<div>{section}</div>")
        lines = root.findall(".//table[@class='layers']/tbody/tr")
        assert [line.find("td").get("title") for line in lines] == [f"{NASTY}{i}" for i in range(count)]
        assert "".join(lines[-1].find("td[2]").itertext()) == WORDS["dynamic"]
        assert len(root.findall(".//circle[@class='t-dynamic taken']")) == 1

    def test_precisions_are_summed_up(self):
        root = ET.fromstring(f"<div>{layer_section(table(4), {f'{NASTY}3': 'static'})}</div>")
        lines = [
            ["".join(cell.itertext()) for cell in line]
            for line in root.findall(".//table[@class='precisions']/tbody/tr")
        ]
        assert [line[:3] for line in lines] == [["static int8", "1", "40%"], ["float", "3", "60%"]]

    def test_every_treatment_has_a_colour(self):
        assert ".t-float {" in PAGE.template
        for at, treatment in enumerate(TREATMENTS):
            assert f".t-{treatment} {{ --kind: var(--hue-{at}); }}" in PAGE.template
            assert PAGE.template.count(f"--hue-{at}:") == 2  # light and dark


@pytest.fixture
def findings():
    latency = Latency(ms=1, original_ms=2, ratio=2, low=1.9, high=2.1)
    figures = Figures(size_bytes=1000, latency_ms=2, cold_start_ms=3)
    scores = Scores(before=1, after=0.995, drop=0.005, low=0.004, high=0.006, error=0.001, samples=50)
    both = {"before": figures, "after": figures, "latency": latency, "scores": scores}
    original = Measured(name="original", title="the original", plan=ORIGINAL, **both)
    chosen = Measured(name="abc", title="static int8 1", plan=Plan(layers={f"{NASTY}0": "static"}), **both)
    failed = Measured(name="def", title="dynamic int8 1", failure=NASTY)
    manifest = Manifest(
        name="small",
        serve="model.onnx",
        target="x86_64",
        objective="latency",
        signature=Signature(inputs=[], outputs=[]),
        class_labels=[],
        source=Source(file=f"{NASTY}.onnx", sha256="0" * 64, size=1000, opset=17),
        passes=[AppliedPass(name="QuantizeStatic", parameters={"layers": 1})],
        metric=Metric(
            name=NASTY, before=1, after=0.995, drop=0.005, interval=(0.004, 0.006), bound=0.01, samples=50
        ),
        before=figures,
        after=figures,
        golden_error={},
        tools={"numpy": "2"},
    )
    worst = [WorstSample(place=77, before=None, after=None, difference=0.25)]
    return Findings(
        manifest=manifest,
        measured=[original, chosen, failed],
        rejected=set(),
        chosen=chosen,
        verified=Verified(scores=scores, floor=0.4583, worst=worst),
        layers=table(3),
        search=Search(seconds=12.3, peak_bytes=1_500_000_000, processor=NASTY, threads=2),
        command=("optimize", NASTY, "--seed", "7"),
        calibration_samples=64,
        evaluation_samples=100,
        seed=7,
    )


class TestPage:
    def test_it_says_what_was_found_and_is_the_same_each_time(self, findings):
        page = render(findings)
        for words in (
            "0.4583",
            "<td>77</td>",
            "0.25",
            "12 s, 1.50 GB",
            "seed 7",
            "Layer by layer",
            "\\\n    --seed 7</pre>",
        ):
            assert words in page
        assert page == render(findings)

    @pytest.mark.parametrize("objective", ["latency", "size", "cold-start"])
    def test_nothing_of_the_model_is_markup(self, findings, objective):
        manifest = msgspec.structs.replace(findings.manifest, objective=objective)
        page = render(Findings(**{**vars(findings), "manifest": manifest}))
        assert "<script" not in page
        assert "http" not in page

    def test_what_failed_verification_is_outside(self, findings):
        lucky = msgspec.structs.replace(findings.chosen, name="lucky")
        changes = {"measured": [*findings.measured, lucky], "rejected": {"lucky"}}
        assert "no, on verification samples" in render(Findings(**{**vars(findings), **changes}))
        assert "no, on verification samples" not in render(findings)

    def test_what_there_is_nothing_to_say_of_is_left_out(self, findings):
        verified = Verified(scores=findings.verified.scores, floor=None, worst=[])
        page = render(Findings(**{**vars(findings), "verified": verified, "layers": None, "command": ()}))
        assert "Layer by layer" not in page
        assert "always the same" not in page
        assert "On none of the 50 verification samples" in page
