"""The page of `fusemap report` in a real browser: on a phone and a desktop, light and dark, without a request.

A browser is looked for by name and in FUSEMAP_BROWSER; where there is none the tests are skipped. With
FUSEMAP_SCREENSHOTS the pictures are kept in that folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Tab, browser_path, tab
from commands import in_process

BROWSER = browser_path()
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no browser: install chromium, or name one in FUSEMAP_BROWSER")
WIDTHS = {"phone": 390, "narrow-phone": 320, "desktop": 1280}
# The contrast of an element's text with the first opaque background behind it, as WCAG computes it.
CONTRAST = """(() => {
  const rgb = c => c.match(/[\\d.]+/g).map(Number);
  const lum = c => { const [r, g, b] = rgb(c).map(v => v / 255)
      .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126*r + 0.7152*g + 0.0722*b; };
  const behind = e => { while (e) { const c = getComputedStyle(e).backgroundColor;
      if ((rgb(c)[3] ?? 1) === 1) return c; e = e.parentElement; } return 'rgb(255, 255, 255)'; };
  const found = {};
  for (const e of document.querySelectorAll('h1,h2,h3,p,a,dt,dd,caption,th,td,pre,summary,figcaption,li')) {
    const [a, b] = [lum(getComputedStyle(e).color), lum(behind(e))].sort((x, y) => y - x);
    const key = e.tagName.toLowerCase(); found[key] = Math.min(found[key] ?? 99, (a + 0.05) / (b + 0.05)); }
  return found; })()"""
WIDER = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
DRAWN = "[...document.querySelectorAll('svg')].map(s => s.getBoundingClientRect()).map(r => [r.width, r.height])"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    asked = ["attention-3pass", "--arch", "flat-cloud", "--workload", "BERT@1K", "--html", "page.html"]
    assert in_process(["report", *asked], folder).code == 0
    return folder / "page.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    assert BROWSER is not None
    with tab(BROWSER, tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_is_legible_and_asks_for_nothing(browser: Tab, page: Path, width: str, dark: bool) -> None:
    browser.show(page, width=WIDTHS[width], dark=dark)
    assert browser.requests == [page.as_uri()]
    assert browser.logged == []
    content, window = browser.value(WIDER)
    assert content == window == WIDTHS[width]
    contrast = browser.value(CONTRAST)
    assert min(contrast.values()) >= 4.5, contrast
    assert all(w >= 300 and h >= 100 for w, h in browser.value(DRAWN)) and len(browser.value(DRAWN)) == 2
    assert is_dark(browser.value("getComputedStyle(document.body).backgroundColor")) == dark
    picture = browser.picture()
    assert picture.startswith(b"\x89PNG") and len(picture) > 20_000
    if kept := os.environ.get("FUSEMAP_SCREENSHOTS"):
        (Path(kept) / f"report-{width}-{'dark' if dark else 'light'}.png").write_bytes(picture)


def is_dark(colour: Any) -> bool:
    """Whether `rgb(r, g, b)` is nearer to black."""
    return sum(int(part) for part in colour.removeprefix("rgb(").rstrip(")").split(",")) < 3 * 128


@pytest.mark.parametrize(
    ("planted", "script", "fault"),
    [
        ('<div style="width:900px">x</div>', WIDER, lambda found: found[0] > found[1]),
        ('<p style="color:#999">x</p>', CONTRAST, lambda found: min(found.values()) < 4.5),
    ],
    ids=["too wide", "too faint"],
)
def test_a_planted_fault_is_seen(browser: Tab, page: Path, planted: str, script: str, fault: Any) -> None:
    spoilt = page.with_name("spoilt.html")
    spoilt.write_text(page.read_text(encoding="utf-8").replace("</main>", f"{planted}</main>"), encoding="utf-8")
    browser.show(spoilt, width=390, dark=False)
    assert fault(browser.value(script))


def test_what_gets_into_a_page_loads_nothing(browser: Tab, page: Path) -> None:
    """The policy of the page holds back a picture and a script that were put into it."""
    spoilt = page.with_name("spoilt.html")
    planted = '<img src="http://localhost:9/x.png" alt=""><script>document.title = "run"</script>'
    spoilt.write_text(page.read_text(encoding="utf-8").replace("</main>", f"{planted}</main>"), encoding="utf-8")
    browser.show(spoilt, width=390, dark=False)
    assert browser.value("document.title") != "run"
    assert any("Content Security Policy" in words for words in browser.logged)
    browser.logged.clear()
