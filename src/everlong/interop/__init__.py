"""Models of others made ours."""

from everlong.interop.convert import Converted, convert

__all__ = ["Converted", "convert"]
