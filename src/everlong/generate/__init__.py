"""Writing on: samplers, beam search, many prompts at once, and text as it comes."""

from everlong.generate.beam import Hypothesis, beam_search
from everlong.generate.decoding import Generation, decode, generate
from everlong.generate.outlook import Outlook, choose, follow, read
from everlong.generate.sampling import GREEDY, PLAIN, Sampler
from everlong.generate.text import StopStrings, generate_texts

__all__ = [
    "GREEDY",
    "PLAIN",
    "Generation",
    "Hypothesis",
    "Outlook",
    "Sampler",
    "StopStrings",
    "beam_search",
    "choose",
    "decode",
    "follow",
    "generate",
    "generate_texts",
    "read",
]
