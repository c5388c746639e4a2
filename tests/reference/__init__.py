"""Slow twins, written from the equations. They are plain, trusted, and never learn tricks."""
