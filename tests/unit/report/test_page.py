"""Pages: what they need is asked for before anything else is done."""

import importlib.util

import pytest

from everlong.errors import ConfigError
from everlong.report.page import require_jinja


def test_a_report_needs_jinja(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)  # noqa: ARG005
    with pytest.raises(ConfigError, match=r"needs jinja2.*everlong\[report\]"):
        require_jinja()
