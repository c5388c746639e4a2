"""Text in, chunks out: documents, tokenizers, stores of tokens and of examples, and the ways to read them."""

from everlong.data.batches import ExampleReader, example_batches
from everlong.data.bpe import BPETokenizer
from everlong.data.byte import ByteTokenizer
from everlong.data.bytelevel import Located, TextStream
from everlong.data.chosen import ChosenReader
from everlong.data.chunk import Chunk
from everlong.data.examples import Example, ExampleStore
from everlong.data.lanes import LaneReader
from everlong.data.masking import MaskedReader, Masking, MaskUnit
from everlong.data.orders import Drawn, Parts
from everlong.data.passages import Passages
from everlong.data.pretrained import PretrainedTokenizer
from everlong.data.rarity import document_scores
from everlong.data.reading import DocumentChunk, document_chunks, document_windows
from everlong.data.store import TokenStore
from everlong.data.text import Document, read_documents
from everlong.data.tokenizers import Tokenizer, load_tokenizer

__all__ = [
    "BPETokenizer",
    "ByteTokenizer",
    "ChosenReader",
    "Chunk",
    "Document",
    "DocumentChunk",
    "Drawn",
    "Example",
    "ExampleReader",
    "ExampleStore",
    "LaneReader",
    "Located",
    "MaskUnit",
    "MaskedReader",
    "Masking",
    "Parts",
    "Passages",
    "PretrainedTokenizer",
    "TextStream",
    "TokenStore",
    "Tokenizer",
    "document_chunks",
    "document_scores",
    "document_windows",
    "example_batches",
    "load_tokenizer",
    "read_documents",
]
