"""Pictures as files: SVG, PNG, or a page that needs no other file. The same traces give the same bytes."""

import importlib.util
import io
import re
import warnings
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from everlong.errors import ConfigError
from everlong.evaluate.picture import draw
from everlong.evaluate.traced import Traced
from everlong.storage import write_whole

FORMATS = (".svg", ".png", ".html")
DPI = 160
FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "PingFang SC",
    "Microsoft YaHei",
)
"""Those of these that there are draw the Chinese characters of a PNG. The other two formats use the reader's fonts."""

PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Everlong · $heading</title>
<style>
body { margin: 0; background: #ffffff; color: #1c1f24; font: 16px/1.6 system-ui, sans-serif; }
main { padding: 2.5rem 1.25rem; }
p { max-width: 44rem; color: #5d6470; }
figure { margin: 2rem 0 0; overflow-x: auto; }
svg { display: block; max-width: none; }
</style>
</head>
<body>
<main>
<h1>$heading</h1>
<p>A panel of weights has one row for a slot of the memory and one column for a step. Darker is more weight, on a scale
of square roots. A read of what was written stands in the row of that write, further to the right.</p>
$figures
</main>
</body>
</html>
""")


def require_drawable(path: Path) -> None:
    """Make sure that a picture can be made, before anything else is.

    Raises:
        ConfigError: there is no such format, or matplotlib is not installed.
    """
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"{path} is no picture that can be drawn. Give a name that ends in {', '.join(FORMATS)}.")
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError('the picture needs matplotlib, which is not installed. Run pip install "everlong[report]".')


def write_picture(path: Path, examples: Sequence[Traced], heading: str) -> None:
    """Write all sequences as one picture, or as a page with a picture each, by the name's end.

    Raises:
        RunError: the disk is full, or the place may not be written to.
    """
    suffix = path.suffix.lower()
    if suffix == ".html":
        figures = "\n".join(f"<figure>\n{_inline(_drawn([traced], '', 'svg'))}</figure>" for traced in examples)
        write_whole(path, PAGE.substitute(heading=escape(heading), figures=figures).encode())
    else:
        write_whole(path, _drawn(examples, heading, suffix.removeprefix(".")))


def _drawn(examples: Sequence[Traced], heading: str, kind: str) -> bytes:
    import matplotlib
    from matplotlib import font_manager

    known = set(font_manager.fontManager.get_font_names())
    style: Any = {
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans", *(font for font in FONTS if font in known)],
        "svg.hashsalt": "everlong",
        "svg.fonttype": "none",
        # A token may be a dollar sign.
        "text.parse_math": False,
    }
    written = io.BytesIO()
    with matplotlib.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        page = draw(examples, heading)
        metadata = {"Creator": None, "Date": None} if kind == "svg" else {}
        page.savefig(written, format=kind, dpi=DPI, metadata=metadata)
    return written.getvalue()


def _inline(svg: bytes) -> str:
    """An SVG file as an element of a page."""
    return re.sub(r"^.*?(?=<svg)", "", svg.decode(), count=1, flags=re.DOTALL)
