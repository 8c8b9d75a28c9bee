"""The page in a browser: on a wide screen and on a phone, light and dark, and on paper."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import pyro_vae as pv
from tests.cli.command import pyro_vae
from tests.page.reading import mixed_table, small_spec

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next((path for path in map(shutil.which, NAMES) if path), None)
PHONE, LAPTOP = 390, 1280

MEASURE = """
function luminance(rgb) {
  const [r, g, b] = rgb.map(c => c / 255).map(
    c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function numbers(colour) { return colour.match(/[\\d.]+/g).map(Number); }
function paper(element) {
  for (let e = element; e; e = e.parentElement) {
    const rgba = numbers(e.ownerDocument.defaultView.getComputedStyle(e).backgroundColor);
    if (rgba.length < 4 || rgba[3] > 0) return rgba.slice(0, 3);
  }
  return [255, 255, 255];
}
function contrast(element) {
  const style = element.ownerDocument.defaultView.getComputedStyle(element);
  const [low, high] = [luminance(numbers(style.color).slice(0, 3)), luminance(paper(element))]
    .sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}
function measured(frame) {
  const page = frame.contentDocument, root = page.documentElement;
  const own = e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
  const texts = [...page.body.querySelectorAll("*")].filter(
    e => !e.closest("svg") && own(e) && e.getClientRects().length);
  const pictures = [...page.querySelectorAll("svg")].map(e => e.getBoundingClientRect());
  const boxes = [...page.querySelectorAll("main *")].filter(
    e => !e.closest(".scroll, pre, svg, details")).map(e => e.getBoundingClientRect().right);
  return {
    width: frame.contentWindow.innerWidth,
    wide: root.scrollWidth - root.clientWidth,
    right: Math.max(...boxes),
    pictures: pictures.map(box => [box.width, box.height]),
    contrast: Math.min(...texts.map(contrast)),
    texts: texts.length,
    background: frame.contentWindow.getComputedStyle(page.body).backgroundColor,
    images: [...page.querySelectorAll("image")].map(e => e.getBBox().width),
  };
}
addEventListener("load", () => {
  const found = [...document.querySelectorAll("iframe")].map(measured);
  document.getElementById("found").textContent = JSON.stringify(found);
});
"""

AXE = """<pre id='found'></pre><script>
axe.run({exclude: [["#found"]]}).then(found => {
  const names = [found.violations, found.incomplete, found.passes].map(
    rules => rules.map(rule => rule.id));
  document.getElementById("found").textContent = JSON.stringify(names);
});
</script>"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed"),
]


def browser(*words: str) -> subprocess.CompletedProcess[str]:
    assert BROWSER is not None
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    return subprocess.run(
        [BROWSER, *quiet, *words], capture_output=True, text=True, timeout=120
    )


@pytest.fixture(scope="module", params=["table", "digits"])
def page(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The page of a run: of a mixed table with missing cells, or of images."""
    home = tmp_path_factory.mktemp(request.param)
    spec: dict[str, Any] = small_spec(Path("digits"))
    settings = ["data.test=20"]
    if request.param == "table":
        mixed_table().to_csv(home / "birds.csv", index=False)
        spec = small_spec(home / "birds.csv")
    pv.run(spec, home / "run", settings=settings)
    assert pyro_vae("report", home / "run").status == 0
    return home / "run" / "report.html"


def looked_at(page: Path, folder: Path, scheme: int) -> tuple[list[Any], str]:
    """What the browser measures in two frames of other widths, and what it complains about."""
    source = html.escape(page.read_text(encoding="utf-8"))
    frames = "".join(
        f'<iframe srcdoc="{source}" style="width:{width}px;height:900px;border:0"></iframe>'
        for width in (PHONE, LAPTOP)
    )
    harness = folder / f"frames-{scheme}.html"
    text = (
        f"<!doctype html><body>{frames}<pre id='found'></pre><script>{MEASURE}</script>"
    )
    harness.write_text(text, encoding="utf-8")
    preferred = f"--blink-settings=preferredColorScheme={scheme}"
    done = browser("--window-size=1400,1000", preferred, "--dump-dom", harness.as_uri())
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None, done.stderr
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(html.unescape(found[1])), "\n".join(complaints)


@pytest.mark.parametrize("scheme", [0, 1], ids=["dark", "light"])
def test_it_fits_and_can_be_read(page: Path, tmp_path: Path, scheme: int) -> None:
    frames, complaints = looked_at(page, tmp_path, scheme)
    assert complaints == ""
    assert [frame["width"] for frame in frames] == [PHONE, LAPTOP]
    for frame in frames:
        assert frame["wide"] == 0
        assert frame["right"] <= frame["width"]
        assert frame["texts"] > 100
        assert frame["contrast"] >= 4.5
        assert len(frame["pictures"]) > 10
        assert min(min(size) for size in frame["pictures"]) > 60
        assert min(frame["images"]) > 0
        red = int(re.findall(r"\d+", frame["background"])[0])
        assert (red < 60) == (scheme == 0)


def test_the_measure_sees_what_is_wrong(page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    wide = (
        '<p style="width:500px;color:#999">wide and pale</p><img src="none.png"></main>'
    )
    bad = tmp_path / "bad.html"
    bad.write_text(text.replace("</main>", wide), encoding="utf-8")
    frames, complaints = looked_at(bad, tmp_path, 1)
    assert frames[0]["wide"] > 0
    assert frames[0]["right"] > PHONE
    assert frames[0]["contrast"] < 4.5
    assert "Content Security Policy" in complaints


def test_axe_finds_nothing(page: Path, tmp_path: Path) -> None:
    """The rules of axe-core: contrast, names of pictures, order of headings, labels of regions."""
    axe = pytest.importorskip("axe_core_python")
    rules = Path(axe.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
    text = page.read_text(encoding="utf-8")
    unguarded = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    opened = unguarded.replace("<details>", "<details open>")
    # pale words, which have to be found beside what the page has
    pale = "<p style='color:#ccc;background:#fff'>pale</p>"
    inside = f"{pale}</main><script>{rules}</script>{AXE}"
    copy = tmp_path / "axe.html"
    copy.write_text(opened.replace("</main>", inside), encoding="utf-8")
    patience = ("--virtual-time-budget=60000", f"--window-size={LAPTOP},1000")
    done = browser(*patience, "--dump-dom", copy.as_uri())
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None, done.stderr
    violations, unsure, passed = json.loads(html.unescape(found[1]))
    assert violations == ["color-contrast"]
    assert unsure == []
    needed = {"color-contrast", "heading-order", "landmark-unique", "svg-img-alt"}
    assert needed <= set(passed)


def test_it_prints(page: Path, tmp_path: Path) -> None:
    file = tmp_path / "page.pdf"
    browser(f"--print-to-pdf={file}", page.as_uri())
    pdf = file.read_bytes()
    assert pdf.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 15
