"""Settings that are data: frozen, checked at birth, and the same after a trip through JSON."""

import json
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import to_jsonable_python

from everlong.errors import ConfigError, did_you_mean


class Config(BaseModel):
    """A frozen set of fields that refuses unknown names and impossible values.

    Raises:
        ConfigError: a field is unknown, missing, of the wrong type or out of range; the message says which and why.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise ConfigError(self._explain(error)) from None

    @classmethod
    def _explain(cls, error: ValidationError) -> str:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = sorted(cls.model_fields)
            return (
                f"{cls.__name__} has no field '{name}'.{did_you_mean(name, known)} Its fields are {', '.join(known)}."
            )
        if first["type"] == "missing":
            return f"{cls.__name__} needs a value for '{name}'. Give {name}=..."
        reason = first["msg"].removeprefix("Value error, ")
        if not name:
            return f"{cls.__name__}: {reason}"
        return f"{cls.__name__}.{name} = {first['input']!r} does not fit: {reason.removesuffix('.')}."

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> Self:
        """A config from a mapping, as JSON or ``key=value`` pairs deliver it."""
        return cls(**fields)

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """The fields that need not be given, as JSON values: what a file has that is older than a field."""
        return {
            name: to_jsonable_python(field.get_default(call_default_factory=True))
            for name, field in cls.model_fields.items()
            if not field.is_required()
        }

    def replace(self, **changes: Any) -> Self:
        """This config with some fields changed, checked again."""
        return type(self)(**{**self.model_dump(), **changes})

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces. Equal configs give equal text."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))


def require_rotates(*, d_model: int, n_heads: int, otherwise: str = "") -> None:
    """Refuse heads whose coordinates cannot be rotated in pairs, and name a width that can; `otherwise` is a way out.

    Raises:
        ValueError: a head has an odd width; pydantic passes the text on as a ConfigError.
    """
    if d_model // n_heads % 2:
        raise ValueError(
            f"a head of d_model={d_model} / n_heads={n_heads} has an odd width, and rotation turns pairs; "
            f"the next even one needs d_model={d_model + n_heads}{otherwise}."
        )


def require_divides(*, whole: str, by: str, sizes: Mapping[str, int]) -> None:
    """Refuse sizes that do not divide, and name the nearest that do.

    Raises:
        ValueError: ``sizes[whole]`` is no multiple of ``sizes[by]``; pydantic passes the text on as a ConfigError.
    """
    total, part = sizes[whole], sizes[by]
    if total % part:
        below = total // part * part
        near = f"{below} or {below + part}" if below else str(part)
        raise ValueError(f"{whole}={total} does not divide into {by}={part}; the nearest {whole} that does is {near}.")
