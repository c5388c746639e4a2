"""The command line: thin commands over the library, one file each."""

from everlong.cli.app import app, main

__all__ = ["app", "main"]
