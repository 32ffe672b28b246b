"""Every link in the README and the docs leads to a file that is there, and to a heading that it has."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:href|src)=\"([^\"]+)\"")


def pages() -> list[Path]:
    """All that we wrote: what is installed here brings pages of its own."""
    ours = ("*.md", "docs/**/*.md", "examples/**/*.md", "clients/**/*.md", "scripts/**/*.md")
    return sorted(page for pattern in ours for page in ROOT.glob(pattern))


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for link in (one or other for one, other in LINK.findall(page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        is_dead = not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target))
        dead += [link] if is_dead else []
    assert dead == []
