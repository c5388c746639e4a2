"""Draws what `length` found: milliseconds against tokens, both in powers, a panel for each pass."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TITLES = {"forward": "forward", "backward": "forward + backward"}


def cost_against_length(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write an SVG; the same rows give the same file."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams.update({"svg.hashsalt": "everlong", "font.size": 9})
    passes = [name for name in TITLES if any(row["pass"] == name for row in rows)]
    figure, panels = pyplot.subplots(1, len(passes), figsize=(5.2 * len(passes), 4.6), squeeze=False, sharey=True)
    people = list(dict.fromkeys((row["contestant"], row["size"]) for row in rows))
    for panel, name in zip(panels[0], passes, strict=True):
        for row in (row for row in rows if row["pass"] == name):
            style = {"color": f"C{people.index((row['contestant'], row['size'])) % 10}", "marker": "o", "markersize": 3}
            if not row["contestant"].startswith("everlong"):
                style["linestyle"] = "dashed"
            words = ", ".join(filter(None, (row["contestant"], row["size"])))
            panel.plot(row["lengths"], row["ms"], label=f"{words}: n^{row['exponent']:.2f}", **style)
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        panel.set(title=TITLES[name], xlabel="tokens")
        panel.grid(visible=True, which="major", alpha=0.3)
        panel.legend(fontsize=7)
    panels[0][0].set_ylabel("milliseconds")
    figure.tight_layout()
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)
