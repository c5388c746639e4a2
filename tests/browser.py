"""A page seen by a real browser without a screen: in a frame as wide as a phone, or wider, in light or dark."""

import html
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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
    """What a browser makes of a page that this machine serves: sizes, colours, text and what it asks for besides."""
    assert CHROMIUM is not None
    wrapper = FRAME.format(width=width, page=html.escape(page, quote=True))
    with serving(wrapper.encode()) as address:
        scheme = ["--force-dark-mode"] if dark else []
        done = subprocess.run(
            [CHROMIUM, *QUIET, *scheme, f"--user-data-dir={folder / 'browser'}", "--dump-dom", address],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, flags=re.S)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found[1]))


@contextmanager
def serving(page: bytes) -> Generator[str]:
    """The address of a server on this machine that has one page."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/" else 404)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page if self.path == "/" else b"")

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def contrast(one: str, other: str) -> float:
    """The ratio of contrast between two colours like ``rgb(1, 2, 3)`` (WCAG 2, section 1.4.3)."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
