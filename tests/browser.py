"""A page seen by a real browser without a screen: in a frame as wide as a phone, or wider, in light or dark."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed: no browser looks at the page")

# What is measured is written into the frame's parent, which is what the browser prints.
FRAME = """<!DOCTYPE html><meta charset="utf-8"><body style="margin:0">
<iframe style="width:{width}px;height:3000px;border:0" srcdoc="{page}"></iframe>
<script>
const frame = document.querySelector("iframe");
frame.onload = () => {{
  const page = frame.contentDocument, view = frame.contentWindow;
  const style = (one) => view.getComputedStyle(one);
  const sizes = [...page.querySelectorAll("svg.chart")].map((svg) => {{
    const box = svg.getBoundingClientRect();
    return {{ width: box.width, height: box.height, label: svg.getAttribute("aria-label"),
      marks: svg.querySelectorAll("path, circle").length }};
  }});
  const said = {{
    language: page.documentElement.lang, width: view.innerWidth, scroll: page.documentElement.scrollWidth,
    requests: view.performance.getEntriesByType("resource").map((one) => one.name), charts: sizes,
    text: page.body.innerText, ink: style(page.body).color, paper: style(page.body).backgroundColor,
    card: style(page.querySelector(".card")).backgroundColor, soft: style(page.querySelector(".rule")).color,
    tones: [...page.querySelectorAll("path.line, path.span")].map((one) => style(one).stroke),
  }};
  const found = document.createElement("pre");
  found.id = "found";
  found.textContent = JSON.stringify(said);
  document.body.append(found);
}};
</script>"""


def look(page: str, folder: Path, *, width: int = 1000, dark: bool = False) -> dict[str, Any]:
    """What a browser makes of a page: sizes, colours, text and requests."""
    assert CHROMIUM is not None
    wrapper = folder / "wrapper.html"
    wrapper.write_text(FRAME.format(width=width, page=html.escape(page, quote=True)), encoding="utf-8")
    words = [CHROMIUM, *QUIET, f"--user-data-dir={folder / 'browser'}", "--dump-dom", wrapper.as_uri()]
    done = subprocess.run(
        [*words[:-1], *(["--force-dark-mode"] if dark else []), words[-1]],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, flags=re.S)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found[1]))


def contrast(one: str, other: str) -> float:
    """The ratio of contrast between two colours like ``rgb(1, 2, 3)`` (WCAG 2, section 1.4.3)."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
