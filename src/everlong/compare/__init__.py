"""The comparison: several models taught the same, for the same time, and what each is good for."""
