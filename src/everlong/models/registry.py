"""The table of architectures: a name, a kind and a class; configs and command lines come through here."""

from collections.abc import Callable
from typing import Any, Literal, TypeVar, get_args

from everlong.errors import ConfigError, did_you_mean
from everlong.models.base import Model, ModelConfig
from everlong.models.encoder import Encoder

Kind = Literal["causal", "encoder", "seq2seq"]

_MODELS: dict[str, tuple[Kind, type[Model]]] = {}

C = TypeVar("C", bound=type[Model])


def register(name: str, *, kind: Kind) -> Callable[[C], C]:
    """Enter a class in the table under its public name."""

    def enter(cls: C) -> C:
        cls.architecture = name
        _MODELS[name] = (kind, cls)
        return cls

    return enter


def list_models(kind: Kind | None = None) -> list[str]:
    """Names of all architectures, or of one kind (``causal``, ``encoder``, ``seq2seq``), in alphabetical order.

    Raises:
        ConfigError: there is no such kind.
    """
    if kind is not None and kind not in get_args(Kind):
        raise ConfigError(
            f"no kind '{kind}'.{did_you_mean(kind, get_args(Kind))} Kinds are {', '.join(get_args(Kind))}."
        )
    return sorted(name for name, (its_kind, _) in _MODELS.items() if kind in (None, its_kind))


def describe_model(name: str) -> tuple[Kind, type[ModelConfig], str]:
    """Kind, config class and one line of description of an architecture.

    Raises:
        ConfigError: no architecture has that name.
    """
    kind, cls = _find(name)
    return kind, cls.Config, (cls.__doc__ or "").strip().splitlines()[0]


def joins_sections(name: str) -> bool:
    """Whether an architecture is an encoder in which a token may learn of tokens in other sections than its own.

    Raises:
        ConfigError: no architecture has that name.
    """
    cls = _find(name)[1]
    return issubclass(cls, Encoder) and cls.joins_sections


def create_model(name: str, **overrides: Any) -> Any:
    """A new model with its default config, some fields overridden.

    It is a `LanguageModel` where the kind is ``causal``, an `Encoder` where it is ``encoder``, a `Seq2Seq` where it is
    ``seq2seq``. The type follows from a name, which type checkers cannot follow: annotate the variable, or build from
    the class, as in ``GRU(GRUConfig())``.

    >>> create_model("gru", vocab_size=256, d_model=64).config.d_model
    64

    Raises:
        ConfigError: no architecture has that name, or a field is unknown or does not fit.
    """
    cls = _find(name)[1]
    return cls(cls.Config.parse(overrides))


def _find(name: str) -> tuple[Kind, type[Model]]:
    if name not in _MODELS:
        raise ConfigError(
            f"no architecture '{name}'.{did_you_mean(name, _MODELS)} Available: {', '.join(list_models())}."
        )
    return _MODELS[name]
