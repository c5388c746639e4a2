"""Settings: frozen, strict about names, clear about what does not fit, and the same after JSON."""

import json
from typing import Literal, Self

import pytest
from pydantic import Field, model_validator

from everlong.config import Config, require_divides
from everlong.errors import ConfigError


class Recipe(Config):
    cups: int = Field(default=2, ge=1)
    flour: float = 0.5
    style: Literal["thin", "thick"] = "thin"
    spoons: int = 4
    name: str

    @model_validator(mode="after")
    def _sizes(self) -> Self:
        require_divides(whole="spoons", by="cups", sizes={"spoons": self.spoons, "cups": self.cups})
        return self


def test_frozen_and_equal_after_json() -> None:
    recipe = Recipe(name="薄饼", cups=1)
    with pytest.raises(Exception, match="frozen"):
        recipe.cups = 3  # type: ignore[misc]
    assert recipe.to_json() == '{"cups":1,"flour":0.5,"name":"\\u8584\\u997c","spoons":4,"style":"thin"}'
    assert Recipe.parse(json.loads(recipe.to_json())) == recipe
    assert recipe.replace(cups=2) == Recipe(name="薄饼")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"name": "x", "cup": 3},
            r"Recipe has no field 'cup'. Did you mean 'cups'\? Its fields are cups, flour, name, spoons, style",
        ),
        ({}, r"Recipe needs a value for 'name'. Give name=\.\.\."),
        ({"name": "x", "cups": 0}, r"Recipe.cups = 0 does not fit: Input should be greater than or equal to 1\."),
        ({"name": "x", "cups": "many"}, r"Recipe.cups = 'many' does not fit: "),
        ({"name": "x", "style": "round"}, r"Recipe.style = 'round' does not fit: Input should be 'thin' or 'thick'\."),
        (
            {"name": "x", "cups": 3},
            r"Recipe: spoons=4 does not divide into cups=3; the nearest spoons that does is 3 or 6\.",
        ),
        (
            {"name": "x", "cups": 5},
            r"Recipe: spoons=4 does not divide into cups=5; the nearest spoons that does is 5\.",
        ),
    ],
)
def test_what_does_not_fit_is_said_in_one_sentence(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Recipe(**fields)
    with pytest.raises(ConfigError, match=message):
        Recipe.parse(fields)


def test_defaults_are_what_an_older_file_has() -> None:
    defaults = Recipe.defaults()
    assert "name" not in defaults
    assert Recipe.parse({"name": "x"}).model_dump(mode="json") == {**defaults, "name": "x"}


def test_replace_checks_again() -> None:
    with pytest.raises(ConfigError, match="does not divide into cups=3"):
        Recipe(name="x").replace(cups=3)


def test_require_divides_names_the_nearest() -> None:
    require_divides(whole="d_model", by="n_heads", sizes={"d_model": 96, "n_heads": 8})
    with pytest.raises(
        ValueError, match="d_model=100 does not divide into n_heads=8; the nearest d_model that does is"
    ):
        require_divides(whole="d_model", by="n_heads", sizes={"d_model": 100, "n_heads": 8})
