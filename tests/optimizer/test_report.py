import xml.etree.ElementTree as ET

from optimizer.scatter import Point, scatter


def test_the_plot_is_well_formed_and_escapes_what_it_is_given():
    points = [
        Point(1.0, 0.0, "the <original>", 'said "1"', "within"),
        Point(2.0, float("nan"), "b", "b", "outside"),
    ]
    root = ET.fromstring(scatter(points, bound=0.01, x_label="times as fast", y_label="drop & more"))
    text = "".join(root.itertext())
    assert "the <original>" in text
    assert len(root.findall(".//circle")) == 2


def test_labels_of_points_in_one_place_do_not_overlap():
    points = [Point(2.0, 0.005, f"candidate {index}", "", "within") for index in range(6)]
    root = ET.fromstring(scatter(points, bound=0.01, x_label="x", y_label="y"))
    places = [(float(e.get("x")), float(e.get("y"))) for e in root.iter("text") if e.get("class") == "label"]
    assert len(set(places)) == 6
    assert all(0 < x < 960 and 0 < y < 420 for x, y in places)
