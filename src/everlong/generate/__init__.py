"""Writing on: samplers, many prompts at once, and text as it comes."""

from everlong.generate.decoding import Generation, decode, generate
from everlong.generate.outlook import Outlook, choose, follow, read
from everlong.generate.sampling import GREEDY, PLAIN, Sampler
from everlong.generate.text import StopStrings, generate_texts

__all__ = [
    "GREEDY",
    "PLAIN",
    "Generation",
    "Outlook",
    "Sampler",
    "StopStrings",
    "choose",
    "decode",
    "follow",
    "generate",
    "generate_texts",
    "read",
]
