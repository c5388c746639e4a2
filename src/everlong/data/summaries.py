"""Documents with summaries, out of JSON lines, as pairs of texts.

    {"document": "...", "summary": "..."}
    {"query": "What did she say?", "document": "...", "summary": "..."}       the query is read first, then a blank line

A document is read as it is, of any length and any number of lines. A summary becomes one line, for a line feed ends it.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from everlong.data.pairs import Pair
from everlong.data.records import Record, read_records
from everlong.data.sectioned import SectionOptions
from everlong.data.text import inner_suffix, read_documents, text_files
from everlong.errors import DataError

EXAMPLE = '{"document": "...", "summary": "..."}'


class SummaryOptions(SectionOptions):
    """How documents become examples."""


def read_summaries(paths: Iterable[Path]) -> Iterator[Pair]:
    """The documents and summaries of files of JSON lines, or of folders of such, in order.

    Raises:
        DataError: a file is missing, empty or cannot be read; or a line has no document or summary, or an empty one.
    """
    for path in paths:
        empty = True
        for file in text_files(path):
            for record in read_records(file, example=EXAMPLE):
                empty = False
                query, document = _source(record)
                yield Pair(query + document, " ".join(_filled(record, "summary").split()), query)
        if empty:
            raise DataError(f"{path} has no summaries in it. Give JSON lines such as {EXAMPLE}.")


def read_unsummarized(paths: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """Names and texts of what is to be summarized: whole files, or the documents of JSON lines with their queries.

    Raises:
        DataError: a file is missing, empty or cannot be read, or a document is empty.
    """
    for path in paths:
        for file in text_files(path):
            if inner_suffix(file) == ".jsonl":
                for record in read_records(file, example='{"document": "..."}'):
                    yield record.place, "".join(_source(record))
            else:
                for document in read_documents(file):
                    if not (text := document.text).strip():
                        raise DataError(f"{document.name} is white space and no document. Leave it out.")
                    yield document.name, text


def _source(record: Record) -> tuple[str, str]:
    """The query, with the blank line after it, and the document."""
    document = _filled(record, "document")
    if "query" not in record.fields:
        return "", document
    return f"{_filled(record, 'query').strip()}\n\n", document.lstrip()


def _filled(record: Record, name: str) -> str:
    text = record.text(name)
    if not text.strip():
        raise DataError(f"{record.place} has an empty {name}. Leave the line out, or fill it in.")
    return text
