"""A trained run, ready to use: everything that `everlong train` left in a folder.

run = everlong.load("runs/book")
session = run.session()
session.read("Once upon a time")
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, final

import torch

from everlong.checkpoint import CONFIG, Checkpoint, best_good_checkpoint, tie
from everlong.data import Tokenizer, load_tokenizer
from everlong.data.labelled import LabelledOptions
from everlong.data.questions import Question
from everlong.data.sealed import read_sealed
from everlong.data.summaries import SummaryOptions
from everlong.data.synthetic import RULES
from everlong.errors import ConfigError, DamagedFile, DataError, RunError
from everlong.evaluate.answering import Answered, answer_questions
from everlong.evaluate.tagging import Tagged, TagReading, tag_texts
from everlong.evaluate.telling import Told, tell_labels
from everlong.generate.summary import Summarizing, summarize_texts
from everlong.generate.targets import Target
from everlong.generate.translation import Decoding, translate_lines
from everlong.models import LanguageModel, ModelConfig, create_model, list_models
from everlong.models.answerer import Answerer
from everlong.models.base import AnyLanguageModel, Model
from everlong.models.classifier import Classifier
from everlong.models.seq2seq import AnySeq2Seq
from everlong.models.tagger import Tagger
from everlong.session import Session
from everlong.train.answer import reading_of
from everlong.train.folder import examples_of, training_of


@final
@dataclass(frozen=True, kw_only=True)
class Run:
    """A trained model with its tokenizer, and where they come from."""

    folder: Path
    model: Model
    """In evaluation mode, with the weights of `checkpoint`."""
    checkpoint: Checkpoint
    known_tokenizer: Tokenizer | None
    """What made its text into tokens; ``None`` where there was none."""

    @property
    def config(self) -> ModelConfig:
        """The model's config."""
        return self.model.config

    @property
    def tokenizer(self) -> Tokenizer:
        """What makes text into tokens.

        Raises:
            ConfigError: the model learned from generated sequences.
        """
        if self.known_tokenizer is None:
            raise ConfigError(
                f"{self.folder} learned from generated sequences, not from text, and can neither read text nor write "
                f"any. Measure it with everlong eval {self.folder}."
            )
        return self.known_tokenizer

    @property
    def language_model(self) -> AnyLanguageModel:
        """The model, which reads a stream and can go on with it.

        Raises:
            ConfigError: it is an encoder.
        """
        if not isinstance(self.model, LanguageModel):
            raise ConfigError(
                f"{self.folder} holds {self.model.architecture}, an encoder: it reads text and cannot write any. "
                f"Train a language model for that: {', '.join(list_models('causal'))}."
            )
        return self.model

    def classify(self, texts: Iterable[str], *, lanes: int = 8, explain: bool = False) -> Iterator[Told]:
        """The label of each text, in their order; with `explain`, what a `han` attended to.

        Raises:
            ConfigError: the model did not learn to classify, or cannot be explained.
            DataError: a text is empty.
        """
        if not isinstance(self.model, Classifier):
            raise ConfigError(
                f"{self.folder} did not learn to classify texts. Train an encoder for that: "
                "everlong train han --task classify."
            )
        options = LabelledOptions.parse(examples_of(self.folder).get("options", {}))
        return tell_labels(self.model, self.tokenizer, texts, options, lanes=lanes, explain=explain)

    def answer(self, context: str, question: str, *, name: str = "the text", lanes: int = 8) -> Answered:
        """The part of a text that answers a question. A text of any length is read whole.

        Args:
            context: the text.
            question: what is asked.
            name: what the text is called where it is refused.
            lanes: windows read side by side.

        Raises:
            ConfigError: the model did not learn to answer, or ``lanes`` is less than 1.
            DataError: the text or the question is empty, or the question leaves no room for the text.
        """
        if not isinstance(self.model, Answerer):
            raise ConfigError(
                f"{self.folder} did not learn to answer questions. Train an encoder for that: "
                "everlong train longformer-encoder --task answer."
            )
        if not question.strip():
            raise DataError("the question is empty. Ask something.")
        options, declines = reading_of(examples_of(self.folder))
        asked = [Question(name, context, question, ())]
        (told,) = answer_questions(self.model, self.tokenizer, asked, options, declines=declines, lanes=lanes)
        return told

    def translate(
        self, texts: Iterable[str], *, beams: int = 4, length_penalty: float = 0.6, lanes: int = 16
    ) -> Iterator[Target]:
        """A translation of each text, in their order; of nothing, nothing.

        Args:
            texts: each a line, read whole however long.
            beams: hypotheses kept in each step; 1 takes the most likely token each time.
            length_penalty: exponent of Wu et al. (2016); more favours longer translations.
            lanes: texts read side by side.

        Raises:
            ConfigError: the model did not learn to translate, or an argument is out of range.
        """
        if training_of(self.folder).task != "translate":
            raise ConfigError(
                f"{self.folder} did not learn to translate texts. Train an encoder-decoder for that: "
                "everlong train encoder-decoder --data pairs.jsonl."
            )
        decoding = Decoding(beams=beams, length_penalty=length_penalty)
        return translate_lines(cast("AnySeq2Seq", self.model), self.tokenizer, texts, decoding=decoding, lanes=lanes)

    def summarize(
        self,
        texts: Iterable[str],
        *,
        beams: int = 4,
        length_penalty: float = 0.6,
        no_repeat: int = 0,
        max_new_tokens: int | None = None,
        lanes: int = 4,
    ) -> Iterator[Target]:
        """A summary of each text, in their order.

        Args:
            texts: each a document, or a query, a blank line and a document, where the run learned from such.
            beams: hypotheses kept in each step; 1 takes the most likely token each time.
            length_penalty: exponent of Wu et al. (2016); more favours longer summaries.
            no_repeat: how many tokens in a row may not come twice in a summary; 0 lets all.
            max_new_tokens: of a summary at most; those of the longest one that was learned unless given.
            lanes: texts read side by side.

        Raises:
            ConfigError: the model did not learn to summarize, or an argument is out of range.
            DataError: a text is empty.
        """
        if training_of(self.folder).task != "summarize":
            raise ConfigError(
                f"{self.folder} did not learn to summarize texts. Train an encoder-decoder for that: "
                "everlong train longformer-encoder-decoder --task summarize."
            )
        about, model = examples_of(self.folder), cast("AnySeq2Seq", self.model)
        search = Summarizing(
            beams=beams,
            length_penalty=length_penalty,
            no_repeat=no_repeat,
            max_new_tokens=about["longest_target"] if max_new_tokens is None else max_new_tokens,
        )
        options = SummaryOptions.parse(about["options"])
        return summarize_texts(model, self.tokenizer, texts, options=options, search=search, lanes=lanes)

    def tag(self, texts: Iterable[str], *, lanes: int = 8) -> Iterator[Tagged]:
        """The entities of each text, in the order of texts.

        Raises:
            ConfigError: the model did not learn to tag, or ``lanes`` is less than 1.
            DataError: a text is empty.
        """
        if not isinstance(self.model, Tagger):
            raise ConfigError(
                f"{self.folder} did not learn to tag words. Train an encoder for that: "
                "everlong train bilstm --task tag."
            )
        reading = TagReading.of(self.tokenizer, examples_of(self.folder))
        return tag_texts(self.model, texts, reading, lanes=lanes)

    def session(self) -> Session:
        """A new session, which has read nothing yet.

        Raises:
            ConfigError: the model is an encoder, or learned from generated sequences.
        """
        return Session(self.language_model, self.tokenizer)


def load(path: Path | str, **config_overrides: Any) -> Run:
    """The run in a folder, with the weights of its best measurement, or its newest ones where nothing was measured.

    Args:
        path: the folder that ``everlong train --out`` or `everlong.train.train` wrote.
        config_overrides: config fields to change that no weight depends on, such as a longer ``mem_len``.

    Raises:
        RunError: the folder is missing, is not a run, or holds no checkpoint yet.
        DamagedFile: a file is altered, or every checkpoint is.
        ConfigError: an override is unknown, does not fit, or changes the weights.
    """
    folder = Path(path)
    model = _model(*model_of(folder), folder)
    tokenizer = None if training_of(folder).task in RULES else load_tokenizer(folder)
    checkpoint = best_good_checkpoint(folder)
    if checkpoint is None:
        raise RunError(f"{folder} holds no checkpoint yet. Train it first: everlong train --resume --out {folder}.")
    model.load_state_dict(tie(model, checkpoint.tensors("model"), source=checkpoint.folder))
    if config_overrides:
        model = model.with_config(**config_overrides)
    return Run(folder=folder, model=model.eval(), checkpoint=checkpoint, known_tokenizer=tokenizer)


def model_of(folder: Path) -> tuple[str, dict[str, Any]]:
    """The architecture of the run in a folder, and the fields of its model.

    Raises:
        RunError: the folder is missing or is not a run.
        DamagedFile: ``config.json`` is altered.
    """
    if not folder.is_dir():
        raise RunError(f"there is no folder {folder}. Give the folder that everlong train wrote with --out.")
    if not (folder / CONFIG).is_file():
        raise RunError(
            f"{folder} is not a run: it has no {CONFIG}. Give the folder that everlong train wrote with --out."
        )
    about = read_sealed(folder / CONFIG)
    architecture, fields = about.get("architecture"), about.get("model")
    if not isinstance(architecture, str) or not isinstance(fields, dict):
        raise DamagedFile(f"{folder / CONFIG} does not name a model. Use another copy of it.")
    return architecture, cast("dict[str, Any]", fields)


def _model(architecture: str, fields: dict[str, Any], folder: Path) -> Model:
    # The random weights are overwritten at once; the caller's generator is left as it was.
    with torch.random.fork_rng(devices=[]):
        model = create_model(architecture, **fields)
        match training_of(folder).task:
            case "classify":
                return Classifier(model, examples_of(folder)["labels"])
            case "tag":
                return Tagger(model, examples_of(folder)["types"])
            case "answer":
                return Answerer(model)
            case _:
                return model
