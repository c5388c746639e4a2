"""A session: what it remembers is what was read and shown, to the character, today and tomorrow."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from everlong import load_memory
from everlong.clock import Clock
from everlong.data import BPETokenizer, ByteTokenizer, Tokenizer
from everlong.errors import ConfigError, DamagedFile, DataError, MemoryMismatch, RunError
from everlong.generate import Sampler, generate_texts
from everlong.generate.sampling import GREEDY, RECENT
from everlong.heads import TokenHead
from everlong.memory import Memory, MemoryFile, memory_type, write_memory
from everlong.models import LanguageModel, ModelConfig, create_model, list_models
from everlong.models.base import Advance, AnyLanguageModel
from everlong.session import Session
from everlong.testing.subject import stir_weights

SINGLES = ["Ċ", "Ġ", *"abcdefghijklmn"]
PAIRS = ["ab", "cd", "ef", "gh", "ij", "kl", "mĊ", "nĊ"]
LETTERS = BPETokenizer(SINGLES, [])
"""One token a character, 16 of them: text and tokens are the same thing."""
SYLLABLES = BPETokenizer([*SINGLES, *PAIRS], [(pair[0], pair[1]) for pair in PAIRS])
"""Some tokens have two characters."""

SIZES: dict[str, dict[str, Any]] = {
    "gru": {},
    "lstm": {},
    "transformer": {"n_heads": 2, "d_ff": 16, "context": 6},
    "transformer-xl": {"n_heads": 2, "d_ff": 16, "segment": 4, "mem_len": 5},
}
WARY = Sampler(temperature=0.8, top_p=0.95, repetition_penalty=1.5, repetition_window=12)

any_model = pytest.mark.parametrize("name", list_models("causal"))


def tiny(name: str = "gru", *, vocab: int = 16, dtype: torch.dtype = torch.float64) -> AnyLanguageModel:
    torch.manual_seed(0)
    return create_model(name, vocab_size=vocab, d_model=8, n_layers=2, **SIZES.get(name, {})).to(dtype).eval()


def fresh(name: str = "gru", *, tokenizer: Tokenizer = LETTERS) -> Session:
    return Session(tiny(name, vocab=tokenizer.vocab_size), tokenizer)


def same(a: Session, b: Session) -> None:
    """Both remember the same and expect the same."""
    assert a.tokens_read == b.tokens_read
    for name, leaf in a.memory.flatten().items():
        torch.testing.assert_close(leaf, b.memory.flatten()[name], rtol=0, atol=1e-12)
    assert a.score("abc").bits == pytest.approx(b.score("abc").bits, abs=1e-9)
    assert a.fork().write(max_new_tokens=20, sampler=WARY) == b.fork().write(max_new_tokens=20, sampler=WARY)


@memory_type
class PageNumber(Memory):
    """How far the reciter is."""

    position: Tensor


class OneHot(TokenHead):
    """Hidden states are logits already."""

    def logits(self, hidden: Tensor) -> Tensor:
        return hidden

    def losses(self, hidden: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(hidden.flatten(0, 1), targets.flatten(), reduction="none").view_as(targets)


class Reciter(LanguageModel[PageNumber]):
    """Expects token n of its script after n tokens, whatever they were."""

    architecture = "reciter"

    def __init__(self, script: list[int], *, vocab: int) -> None:
        super().__init__(ModelConfig(vocab_size=vocab))
        self.script = nn.Parameter(torch.tensor(script).double())
        self.head = OneHot()

    def init_memory(self, lanes: int) -> PageNumber:
        return PageNumber(position=torch.zeros(lanes, dtype=torch.int64)).made_by(self)

    def advance(self, tokens: Tensor, memory: PageNumber, clock: Clock) -> Advance[PageNumber]:
        del tokens, memory  # the clock says it all
        following = self.script.long()[(clock.position + 1) % len(self.script)]
        hidden = F.one_hot(following, self.config.vocab_size).double() * 50
        return Advance(hidden=hidden, memory=PageNumber(position=clock.following), aux={})


def reciter(text: str, tokenizer: Tokenizer) -> Session:
    """A session that has read a space and will write the text."""
    session = Session(Reciter(tokenizer.encode(" " + text), vocab=tokenizer.vocab_size).eval(), tokenizer)
    session.read(" ")
    return session


def last_tokens(session: Session) -> list[int]:
    tokens: Tensor = session._outlook.recent[0]
    return tokens[tokens >= 0].tolist()


def last_text(session: Session) -> str:
    """What the last tokens stand for, after the first space."""
    return session.tokenizer.decode(last_tokens(session)).removeprefix(" ")


# Reading and writing


@any_model
def test_reading_and_writing_is_one_pass_over_the_whole_text(name: str) -> None:
    session, whole = fresh(name), fresh(name)
    session.read("a cab ")
    written = session.write(max_new_tokens=13, sampler=WARY)
    session.read("had a\nd")
    written_too = session.write(max_new_tokens=9, seed=3)
    assert session.tokens_read == len("a cab had a\nd") + 13 + 9
    whole.read(f"a cab {written}had a\nd{written_too}")
    same(session, whole)


@any_model
def test_a_session_writes_what_a_batch_writes(name: str) -> None:
    model = tiny(name)
    prompts = ["", "a", "a bad cab ", "fade\n"]
    together = generate_texts(model, LETTERS, prompts, max_new_tokens=30, sampler=WARY, seed=[1, 2, 3, 4], stop=["a\n"])
    for lane, prompt in enumerate(prompts):
        session = Session(model, LETTERS)
        session.read(prompt)
        assert session.write(max_new_tokens=30, sampler=WARY, seed=lane + 1, stop="a\n") == together[lane]


def test_a_new_session_writes_as_after_a_line_feed_but_does_not_remember_it() -> None:
    session, other = fresh(), fresh()
    other.read("\n")
    first = other.write(max_new_tokens=1, sampler=GREEDY)
    assert session.write(max_new_tokens=1, sampler=GREEDY) == first
    assert session.tokens_read == 1
    whole = fresh()
    whole.read(first)
    same(session, whole)


def test_a_new_session_that_wrote_nothing_is_still_new() -> None:
    session = fresh()
    assert session.write(max_new_tokens=0) == ""
    session.read("")
    same(session, fresh())


def test_where_writing_was_cut_makes_no_difference() -> None:
    session, whole = fresh("lstm"), fresh("lstm")
    pieces = [session.write(max_new_tokens=n, sampler=WARY, seed=5) for n in (1, 7, 4)]
    assert "".join(pieces) == whole.write(max_new_tokens=12, sampler=WARY, seed=5)


def test_pieces_are_read_as_one_text_in_chunks() -> None:
    session, whole = fresh(), fresh()
    times: list[int] = []
    session.model.register_forward_pre_hook(lambda _, args: times.append(args[0].shape[1]))
    session.read(["a\n", *["bad cab\n"] * 100, "c" * 700, ""])
    assert times == [512, 512, 2 + 800 + 700 - 1024]
    whole.read("a\n" + "bad cab\n" * 100 + "c" * 700)
    same(session, whole)


def test_a_text_that_cannot_be_read_leaves_the_session_as_it_was() -> None:
    session, before = fresh(), fresh()
    with pytest.raises(DataError, match="lone surrogate"):
        session.read(["abc" * 400, "a\ud800"])
    same(session, before)


def test_its_size_is_known_before_it_reads(tmp_path: Path) -> None:
    session = fresh("transformer")
    size = session.nbytes
    session.read("abc" * 500)
    session.write(max_new_tokens=3)
    assert session.nbytes == size
    session.save(tmp_path / "a.memory")
    assert size < (tmp_path / "a.memory").stat().st_size < size + 2000


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        (lambda s: s.write(max_new_tokens=-1), ConfigError, "max_new_tokens=-1 must be 0 or more"),
        (lambda s: s.stream(max_new_tokens=-1), ConfigError, "max_new_tokens=-1 must be 0 or more"),
        (lambda s: s.write(stop=["", "a"]), ConfigError, "a stop string is empty"),
        (lambda s: s.score(""), DataError, "nothing to score in an empty text. Give at least one character"),
    ],
)
def test_what_makes_no_sense_is_refused(use: Callable[[Session], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        use(fresh())


def test_a_model_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tokenizer 'byte' has 256 tokens, the model 16"):
        Session(tiny(), ByteTokenizer())
    with pytest.raises(ConfigError, match=r"in training mode.*model\.eval\(\)"):
        Session(tiny().train(), LETTERS)
    session = fresh()
    session.save(tmp_path / "a.memory")
    session.model.train()
    for use in (session.write, lambda: session.score("a"), lambda: session.read("a")):
        with pytest.raises(ConfigError, match=r"in training mode.*model\.eval\(\)"):
            use()
    with pytest.raises(ConfigError, match=r"in training mode.*model\.eval\(\)"):
        Session.load(tmp_path / "a.memory", session.model, LETTERS)


# Stop strings and characters


@any_model
@pytest.mark.parametrize("seed", range(4))
def test_a_stop_string_is_neither_shown_nor_remembered(name: str, seed: int) -> None:
    # SYLLABLES makes stop strings begin and end within tokens; the text counts, not how it was spelled.
    free, session, whole = (fresh(name, tokenizer=SYLLABLES) for _ in range(3))
    text = free.write(max_new_tokens=24, seed=seed)
    stop = [text[at : at + 3] for at in (9, 14)]
    end = min(text.index(s) + 3 for s in stop)
    pieces = list(session.stream(max_new_tokens=24, seed=seed, stop=stop))
    assert "".join(pieces) == text[: end - 3]
    assert last_text(session) == text[: end - 3]
    whole.read(text[: end - 3])
    if last_tokens(whole) == last_tokens(session):
        same(session, whole)


def test_a_stop_string_within_tokens_is_undone_to_the_character() -> None:
    session = reciter("abcd em\nij", SYLLABLES)
    assert session.write(max_new_tokens=9, stop="d em\ni") == "abc"
    assert session.tokens_read == 3
    assert last_text(session) == "abc"


def test_a_stop_string_that_did_not_come_is_shown_at_the_end() -> None:
    session = reciter("abcdefgh", LETTERS)
    assert list(session.stream(max_new_tokens=6, stop=["efgh"])) == ["a", "b", "c", "d", "ef"]
    assert last_text(session) == "abcdef"
    assert list(session.stream(max_new_tokens=2, stop=["fx"])) == ["g", "h"]


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_character_is_never_shown_in_part(cut: int) -> None:
    text = "你好，é世界🙂!"
    session = reciter(text, ByteTokenizer())
    first = session.write(max_new_tokens=cut)
    assert text.startswith(first)
    assert len(first) == len(text.encode()[:cut].decode(errors="ignore"))
    assert first + session.write(max_new_tokens=len(text.encode()) - cut) == text


@pytest.mark.parametrize("stop", ["世", "，", "界🙂", "🙂"])
def test_a_stop_string_of_several_bytes_leaves_none_of_them(stop: str) -> None:
    text = "你好，é世界🙂!"
    session = reciter(text, ByteTokenizer())
    assert session.write(max_new_tokens=2) == ""
    assert session.write(max_new_tokens=40, stop=[stop]) == text[: text.index(stop)]
    assert last_text(session) == text[: text.index(stop)]
    assert session.write(max_new_tokens=len(stop.encode())) == stop


def test_bytes_that_are_no_text_do_not_pile_up() -> None:
    session = Session(Reciter([0xE4], vocab=256).eval(), ByteTokenizer())
    assert session.write(max_new_tokens=50, stop=["x"]) == "�" * 49
    assert session.tokens_read == 50


# Streams


def test_a_stream_may_be_left_at_any_piece() -> None:
    session = reciter("abcdefgh", SYLLABLES)
    for piece in session.stream(max_new_tokens=8, stop=["dx"]):
        assert piece in ("ab", "c")
        if piece == "c":  # the token was "cd", and "d" may begin a stop string
            break
    assert last_text(session) == "abc"


def test_a_stream_saves_what_was_shown(tmp_path: Path) -> None:
    session = fresh()
    shown = ""
    for n, piece in enumerate(session.stream(max_new_tokens=12, sampler=WARY, seed=2, stop=["abcdef"])):
        shown += piece
        session.save(tmp_path / str(n))
        saved = Session.load(tmp_path / str(n), session.model, LETTERS)
        assert last_text(saved) == shown
    assert len(shown) == 12


@pytest.mark.parametrize("pieces", [0, 2])
def test_a_session_that_went_elsewhere_ends_its_stream(pieces: int) -> None:
    session = fresh()
    stream = session.stream(max_new_tokens=20)
    for _ in range(pieces):
        next(stream)
    session.read("abc")
    with pytest.raises(RunError, match=r"used while a stream of it was not at its end.*session\.fork\(\)"):
        next(stream)
    assert session.tokens_read == pieces + 3


# Scores and forks


@any_model
def test_a_score_is_what_one_pass_says_and_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("everlong.generate.outlook.CHUNK", 4)
    session, before = fresh(name), fresh(name)
    for each in (session, before):
        each.read("a bad ")
    score = session.score("cabbage")
    tokens = torch.tensor([LETTERS.encode("a bad cabbage")])
    logits, _ = session.model(tokens)
    nats = -logits[0, 5:-1].log_softmax(-1).gather(1, tokens[0, 6:, None]).sum().item()
    assert score.bits == pytest.approx(nats / 0.6931471805599453, abs=1e-9)
    assert score.n_bytes == 7
    assert score.bits_per_byte == pytest.approx(score.bits / 7)
    same(session, before)


def test_scores_of_parts_sum_to_that_of_the_whole() -> None:
    session = fresh("transformer")
    whole = session.score("bad cab").bits
    first = session.score("bad").bits
    session.read("bad")
    assert first + session.score(" cab").bits == pytest.approx(whole, abs=1e-9)


def test_a_score_counts_bytes_not_characters() -> None:
    session = Session(tiny(vocab=256), ByteTokenizer())
    assert session.score("é你").n_bytes == 5


def test_a_fork_goes_its_own_way() -> None:
    session, other = fresh(), fresh()
    for each in (session, other):
        each.read("cab")
    twin = session.fork()
    assert twin.memory is session.memory
    twin.read("bage")
    same(session, other)
    other.read("bage")
    same(twin, other)


# Files


@any_model
def test_a_saved_session_goes_on_the_same(name: str, tmp_path: Path) -> None:
    session = fresh(name)
    session.read("a bad cab ")
    session.write(max_new_tokens=3)
    session.save(tmp_path / "a.memory")
    loaded = Session.load(tmp_path / "a.memory", tiny(name), LETTERS)
    assert loaded.tokens_read == session.tokens_read
    assert loaded.write(max_new_tokens=30, sampler=WARY) == session.write(max_new_tokens=30, sampler=WARY)
    same(loaded, session)


TOMORROW = """
import sys
import torch
from everlong import create_model
from everlong.data import ByteTokenizer
from everlong.generate import Sampler
from everlong.session import Session
for path in sys.argv[1:]:
    name = path.rsplit("/", 1)[-1]
    torch.manual_seed(0)
    model = create_model(name, vocab_size=256, d_model=8, n_layers=2).eval()
    session = Session.load(path, model, ByteTokenizer())
    sampler = Sampler(temperature=0.8, repetition_penalty=1.5)
    print(ascii([session.write(max_new_tokens=20, sampler=sampler, seed=9), session.tokens_read]))
"""


def test_a_session_goes_on_the_same_in_a_new_process(tmp_path: Path) -> None:
    expected: list[str] = []
    for name in list_models("causal"):
        torch.manual_seed(0)
        model = create_model(name, vocab_size=256, d_model=8, n_layers=2).eval()
        session = Session(model, ByteTokenizer())
        session.read("今天 is not ")
        session.write(max_new_tokens=5)
        session.save(tmp_path / name)
        sampler = Sampler(temperature=0.8, repetition_penalty=1.5)
        expected.append(ascii([session.write(max_new_tokens=20, sampler=sampler, seed=9), session.tokens_read]))
    paths = [str(tmp_path / name) for name in list_models("causal")]
    said = subprocess.run([sys.executable, "-c", TOMORROW, *paths], capture_output=True, text=True, check=True)
    assert said.stdout.splitlines() == expected


def test_a_new_session_can_be_saved(tmp_path: Path) -> None:
    session = fresh()
    session.save(tmp_path / "new.memory")
    same(Session.load(tmp_path / "new.memory", session.model, LETTERS), session)


def test_a_session_file_is_a_memory_file_and_the_reverse(tmp_path: Path) -> None:
    session, other = fresh("transformer-xl"), fresh("transformer-xl")
    for each in (session, other):
        each.read("a bad cab")
    session.save(tmp_path / "session")
    session.memory.save(tmp_path / "memory")
    for path in (tmp_path / "session", tmp_path / "memory"):
        memory = load_memory(path, session.model)
        assert memory.flatten().keys() == session.memory.flatten().keys()
        for name, leaf in memory.flatten().items():
            assert torch.equal(leaf, session.memory.flatten()[name])
    bare = Session.load(tmp_path / "memory", session.model, LETTERS)
    for use in (bare.write, lambda: bare.score("a")):
        with pytest.raises(
            RunError, match=r"began from a bare memory.*Read some text first, or load a file that session"
        ):
            use()
    for each in (bare, other):
        each.read(" d")
    assert bare.write(max_new_tokens=20) == other.write(max_new_tokens=20)


def test_a_session_has_one_lane(tmp_path: Path) -> None:
    model = tiny()
    two = model.init_memory(2)
    with pytest.raises(
        MemoryMismatch, match=r"a session has one lane, this memory has 2\. Choose one with memory\.select"
    ):
        Session(model, LETTERS, two)
    two.save(tmp_path / "two.memory")
    with pytest.raises(MemoryMismatch, match="a session has one lane, this memory has 2"):
        Session.load(tmp_path / "two.memory", model, LETTERS)
    Session(model, LETTERS, two.select(torch.tensor([1]))).read("abc")


def test_a_file_of_another_model_or_tokenizer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.memory"
    session = fresh()
    session.read("abc")
    session.save(path)
    with pytest.raises(
        MemoryMismatch, match=r"a\.memory was made with another tokenizer\. Load the one from the same run"
    ):
        Session.load(path, tiny(), BPETokenizer(SINGLES[::-1], []))
    with pytest.raises(MemoryMismatch, match="is a memory of 'gru', this model is 'lstm'"):
        Session.load(path, tiny("lstm"), LETTERS)
    torch.manual_seed(1)
    with pytest.raises(MemoryMismatch, match="other weights"):
        Session.load(path, create_model("gru", vocab_size=16, d_model=8, n_layers=2).double().eval(), LETTERS)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.memory"
    session = fresh()
    session.read("abc")
    session.save(path)
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedFile, match=r"a\.memory is damaged"):
        Session.load(path, session.model, LETTERS)


@pytest.mark.parametrize(
    "beside",
    [
        {"logits": torch.zeros(1, 15), "recent": torch.zeros(1, RECENT, dtype=torch.int64)},
        {"logits": torch.zeros(1, 16)},
    ],
)
def test_a_file_of_another_version_is_refused(beside: dict[str, Tensor], tmp_path: Path) -> None:
    model = tiny()
    write_memory(tmp_path / "a.memory", MemoryFile(memory=model.init_memory(1), beside=beside))
    with pytest.raises(DamagedFile, match=r"a\.memory is not a session of this version of Everlong\. Give a file"):
        Session.load(tmp_path / "a.memory", model, LETTERS)


@pytest.mark.parametrize("name", list_models("seq2seq"))
def test_a_session_begins_with_a_source(name: str, tmp_path: Path) -> None:
    model = create_model(name, d_model=16, n_layers=1).eval()
    stir_weights(model, seed=0)
    sources = [torch.tensor([list(text)]) for text in (b"one source", b"and another")]
    written = []
    for source in sources:
        session = Session(model, ByteTokenizer(), model.read(source))
        fork = session.fork()
        written.append(session.write(max_new_tokens=12))
        assert fork.write(max_new_tokens=5) + fork.write(max_new_tokens=7) == written[-1]
        fork.save(tmp_path / "session")
        assert Session.load(tmp_path / "session", model, ByteTokenizer()).write() == session.write()
    assert written[0] != written[1]
