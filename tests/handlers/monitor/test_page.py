"""The page: it holds what the status says, escapes what clients sent, and needs nothing from elsewhere."""

import re
from html.parser import HTMLParser

import msgspec
import numpy as np
import pytest

from handlers.monitor import page
from handlers.monitor.pictures import picture_of
from handlers.monitor.status import Status
from handlers.monitor.watched import Example
from tests.handlers.monitor.world import World, answers, draw

NASTY = "<script>alert('&')</script>"


@pytest.fixture
def wrong(world: World) -> Status:
    """Of a version whose inputs have changed, and whose labels say that it is worse."""
    world.push(original=True)
    x = draw(world.rng, 300)
    x[:, 1] *= 20
    world.put(world.lines(x, prefix=NASTY))
    world.label(
        {f"{NASTY}-{number}": int(wrong) for number, wrong in enumerate((answers(x).argmax(1) + 1) % 3)}
    )
    world.run(agreement_share=0.5)
    return world.status()


class Checked(HTMLParser):
    """Every element is closed in order, and nothing comes from elsewhere."""

    void = ("meta", "img", "rect", "line", "circle", "polyline")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def test_it_says_what_is_wrong_and_escapes_what_clients_sent(wrong: Status) -> None:
    text = page.render(wrong)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "x[1] is wider since" in text
    assert "0.0% of the labelled requests are right" in text
    assert not re.search(r"(src|href)=\"(?!data:)|url\(|@import|https?:", text)


def test_it_is_well_formed_and_can_be_read_aloud(wrong: Status) -> None:
    checked = Checked(page.render(wrong))
    assert ("html", {"lang": "en"}) in checked.seen
    for tag, attributes in checked.seen:
        if tag == "svg":
            assert "aria-label" in attributes or attributes.get("aria-hidden") == "true"
        if tag == "th":
            assert attributes.get("scope") in ("row", "col")
        if tag == "img":
            assert attributes.get("alt")
    assert [
        attributes["role"] for tag, attributes in checked.seen if "verdict" in (attributes.get("class") or "")
    ]


def test_it_looks_good_in_the_dark_and_on_a_phone(wrong: Status) -> None:
    text = page.render(wrong)
    assert "prefers-color-scheme: dark" in text
    assert "max-width: 600px" in text
    assert 'name="viewport"' in text


def test_pictures_are_shown_as_pictures(wrong: Status) -> None:
    url = picture_of(np.random.default_rng(0).random((3, 48, 320)))
    assert url is not None
    assert url.startswith("data:image/png;base64,")
    example = Example(id="line-1", time=0.0, pictures={"image": url})
    text = page.render(msgspec.structs.replace(wrong, examples=[example]))
    assert f'<img src="{url}" alt="image of the request line-1">' in text


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 48, 48), (3, 4, 48), (1, 3, 48, 48)])
def test_what_is_no_picture_is_none(shape: tuple[int, ...]) -> None:
    assert picture_of(np.zeros(shape)) is None
