"""The demo: a bundled book, a small model, and a report on what its memory is good for."""
