"""Text in, chunks out: documents, tokenizers, the token store, and the two ways to read it."""

from everlong.data.bpe import BPETokenizer
from everlong.data.byte import ByteTokenizer
from everlong.data.bytelevel import TextStream
from everlong.data.chunk import Chunk
from everlong.data.lanes import LaneReader
from everlong.data.masking import MaskedReader, Masking, MaskUnit
from everlong.data.reading import DocumentChunk, document_chunks, document_windows
from everlong.data.store import TokenStore
from everlong.data.text import Document, read_documents
from everlong.data.tokenizers import Tokenizer, load_tokenizer

__all__ = [
    "BPETokenizer",
    "ByteTokenizer",
    "Chunk",
    "Document",
    "DocumentChunk",
    "LaneReader",
    "MaskUnit",
    "MaskedReader",
    "Masking",
    "TextStream",
    "TokenStore",
    "Tokenizer",
    "document_chunks",
    "document_windows",
    "load_tokenizer",
    "read_documents",
]
