"""The table of architectures, and what is said about a name that is not in it."""

import pytest

import everlong
from everlong.errors import ConfigError
from everlong.models import Encoder, LanguageModel, Seq2Seq, create_model, describe_model, list_models


def test_names() -> None:
    assert {"bert", "gru", "lstm", "transformer", "transformer-xl"} <= set(list_models())
    assert list_models() == sorted(list_models())
    for kind in ("causal", "encoder", "seq2seq"):
        assert list_models(kind) == [name for name in list_models() if describe_model(name)[0] == kind]
    assert everlong.create_model is create_model


@pytest.mark.parametrize("name", list_models())
def test_each_has_a_kind_a_config_and_a_line(name: str) -> None:
    kind, config, line = describe_model(name)
    assert kind in ("causal", "encoder", "seq2seq")
    assert config().vocab_size == 256
    assert line.endswith(".")
    model = create_model(name, d_model=16)
    assert isinstance(model, {"causal": LanguageModel, "encoder": Encoder, "seq2seq": Seq2Seq}[kind])
    assert model.architecture == name
    assert type(model.config) is config


def test_an_unknown_architecture() -> None:
    message = (
        r"no architecture 'transfomer'\. Did you mean 'transformer'\? Available: .*gru, .*lstm, .*transformer-xl\."
    )
    with pytest.raises(ConfigError, match=message):
        create_model("transfomer")
    with pytest.raises(ConfigError, match=r"no architecture '记忆'\. Available: "):
        describe_model("记忆")


def test_an_unknown_kind() -> None:
    with pytest.raises(
        ConfigError, match=r"no kind 'casual'\. Did you mean 'causal'\? Kinds are causal, encoder, seq2seq"
    ):
        list_models("casual")  # type: ignore[arg-type]


def test_an_unknown_field_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"TransformerXLConfig has no field 'memlen'\. Did you mean 'mem_len'\?"):
        create_model("transformer-xl", memlen=3)
    with pytest.raises(ConfigError, match=r"GRUConfig.d_model = 'wide' does not fit"):
        create_model("gru", d_model="wide")
    with pytest.raises(ConfigError, match=r"LSTMConfig.dropout = 1.5 does not fit: Input should be less than 1"):
        create_model("lstm", dropout=1.5)
