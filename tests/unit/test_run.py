from pathlib import Path

import pytest
import torch

import everlong.run
from everlong.data import ByteTokenizer, Document, TokenStore
from everlong.data.sealed import write_sealed
from everlong.errors import ConfigError, DamagedFile, RunError
from everlong.models import create_model
from everlong.models.base import AnyLanguageModel
from everlong.run import load
from everlong.train import TrainConfig, train


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AnyLanguageModel]:
    """A run of a tiny Transformer-XL without measurements, and its model."""
    folder = tmp_path_factory.mktemp("run")
    store = TokenStore.build([Document("a", "once upon a time " * 9)], ByteTokenizer(), folder / "store")
    model = create_model("transformer-xl", d_model=8, n_layers=1, n_heads=2, d_ff=8, segment=4, mem_len=4)
    config = TrainConfig(steps=2, lanes=2, chunk=4, save_every=1, keep=3)
    train(model, store, None, config, folder, tokenizer=ByteTokenizer())
    return folder, model


@pytest.fixture
def copied(trained: tuple[Path, AnyLanguageModel], tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(trained[0], tmp_path / "run"))


def test_a_run_is_its_model_and_tokenizer(trained: tuple[Path, AnyLanguageModel]) -> None:
    folder, model = trained
    state = torch.get_rng_state()
    run = load(str(folder))
    assert torch.equal(torch.get_rng_state(), state)
    assert run.model.weights_digest() == model.weights_digest()
    assert not run.model.training
    assert (run.config, run.checkpoint.step, run.folder) == (model.config, 2, folder)
    assert run.tokenizer.name == "byte"


def test_a_session_reads_and_writes(trained: tuple[Path, AnyLanguageModel]) -> None:
    session = load(trained[0]).session()
    session.read("once upon")
    assert session.tokens_read == 9
    assert isinstance(session.write(max_new_tokens=3), str)


def test_fields_that_no_weight_depends_on_may_be_overridden(trained: tuple[Path, AnyLanguageModel]) -> None:
    run = load(trained[0], mem_len=64)
    assert run.model.init_memory(1).nbytes > load(trained[0]).model.init_memory(1).nbytes
    assert not run.model.training
    with pytest.raises(ConfigError, match="d_ff=16 changes the weights"):
        load(trained[0], d_ff=16)
    with pytest.raises(ConfigError, match=r"no field 'mem_lenn'\. Did you mean 'mem_len'"):
        load(trained[0], mem_lenn=16)


def test_the_best_weights_are_preferred(trained: tuple[Path, AnyLanguageModel], tmp_path: Path) -> None:
    folder, _ = trained
    store = TokenStore.open(folder / "store")
    model = create_model("gru", d_model=8, n_layers=1)
    # A rate that is far too high makes things worse.
    config = TrainConfig(steps=3, lanes=2, chunk=4, lr=3.0, clip=0, warmup=0, eval_every=1, save_every=1)
    result = train(model, store, store, config, tmp_path / "bad", tokenizer=ByteTokenizer())
    run = load(tmp_path / "bad")
    assert run.checkpoint.step == result.best_step != result.step
    assert run.model.weights_digest() != model.weights_digest()


def test_a_folder_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"there is no folder .*nowhere\. Give the folder that everlong train wrote"):
        load(tmp_path / "nowhere")


def test_a_folder_must_be_a_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not a run: it has no config\.json"):
        load(tmp_path)


def test_a_run_must_have_been_trained(copied: Path) -> None:
    import shutil

    shutil.rmtree(copied / "checkpoints")
    with pytest.raises(RunError, match=r"holds no checkpoint yet\. Train it first: everlong train --resume --out"):
        load(copied)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_an_altered_file_is_refused(copied: Path, name: str) -> None:
    text = (copied / name).read_text()
    (copied / name).write_text(text.replace('"sha256": "', '"sha256": "0'))
    with pytest.raises(DamagedFile, match=rf"{name} is damaged"):
        load(copied)


def test_a_config_that_names_no_model_is_refused(copied: Path) -> None:
    write_sealed(copied / "config.json", {"model": 3})
    with pytest.raises(DamagedFile, match=r"config\.json does not name a model"):
        load(copied)


def test_a_config_of_another_model_is_refused(copied: Path) -> None:
    fields = load(copied).config.model_dump(mode="json")
    write_sealed(copied / "config.json", {"architecture": "transformer-xl", "model": {**fields, "d_ff": 24}})
    with pytest.raises(DamagedFile, match=r"of shape \(8, 8\), the model has .*Use the config\.json that"):
        load(copied)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(copied: Path) -> None:
    (copied / "checkpoints" / "step-00000002" / "state.json").write_text("{}")
    with pytest.warns(everlong.checkpoint.DamagedCheckpointWarning, match="step-00000002/state.json is damaged"):
        assert load(copied).checkpoint.step == 1


def test_an_encoder_is_loaded_and_has_no_session(tmp_path: Path) -> None:
    store = TokenStore.build([Document("a", "once upon a time " * 9)], ByteTokenizer(), tmp_path / "store")
    model = create_model("bert", d_model=8, n_layers=1, n_heads=2, d_ff=8)
    config = TrainConfig(task="mlm", steps=2, lanes=2, chunk=8)
    train(model, store, None, config, tmp_path / "run", tokenizer=ByteTokenizer())
    run = load(tmp_path / "run", dropout=0.1)
    assert run.model.weights_digest() == model.weights_digest()
    assert run.config.dropout == 0.1
    message = r"run holds bert, an encoder: it reads text and cannot write any\. Train a language model .*gru, .*lstm, "
    with pytest.raises(ConfigError, match=message):
        run.session()
    with pytest.raises(ConfigError, match="cannot write any"):
        _ = run.language_model


def test_a_language_model_is_one(trained: tuple[Path, AnyLanguageModel]) -> None:
    run = load(trained[0])
    assert run.language_model is run.model
