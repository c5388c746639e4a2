"""Tags to entities and back: every way of writing, the conlleval script's rule, and what does not fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reference.conlleval import count_one_by_one

from everlong.data.tags import Entity, read_entities, tag_numbers, tagged_entities
from everlong.errors import DataError

TYPES = ("LOC", "ORG")
ENTITIES = [Entity("ORG", 0, 1), Entity("LOC", 2, 5), Entity("LOC", 5, 6), Entity("ORG", 6, 8)]
WAYS = {
    "BIO": "B-ORG O B-LOC I-LOC I-LOC B-LOC B-ORG I-ORG",
    "IOB1": "I-ORG O I-LOC I-LOC I-LOC B-LOC I-ORG I-ORG",
    "BMES": "S-ORG O B-LOC M-LOC E-LOC S-LOC B-ORG E-ORG",
    "BIOES": "S-ORG O B-LOC I-LOC E-LOC S-LOC B-ORG E-ORG",
}
BIO = st.lists(st.sampled_from(["O", "B-LOC", "I-LOC", "B-ORG", "I-ORG"]), min_size=1, max_size=9)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_says_the_same(way: str) -> None:
    assert read_entities(WAYS[way].split(), "here") == ENTITIES


def test_numbers_are_bio_and_come_back() -> None:
    numbers = tag_numbers(ENTITIES, 8, TYPES)
    assert numbers == [3, 0, 1, 2, 2, 1, 3, 4]
    assert tagged_entities(numbers, TYPES) == ENTITIES


@given(tags=BIO)
def test_any_b_i_and_o_are_read_as_the_conlleval_script_does(tags: list[str]) -> None:
    found = read_entities(tags, "here")
    have, _, right = count_one_by_one([(tags, tags)])
    assert sum(have.values()) == sum(right.values()) == len(found)
    assert tagged_entities(tag_numbers(found, len(tags), TYPES), TYPES) == found
    for entity in found:
        assert {tag[2:] for tag in tags[entity.begin : entity.end]} == {entity.type}


def test_a_sentence_that_was_cut_within_an_entity() -> None:
    assert read_entities(["M-ORG", "E-ORG", "O", "B-LOC", "M-LOC"], "x") == [Entity("ORG", 0, 2), Entity("LOC", 3, 5)]


@pytest.mark.parametrize("tags", ["B-LOC O E-LOC", "O E-LOC O", "O M-LOC E-LOC", "B-LOC E-ORG O", "S-LOC M-LOC E-LOC"])
def test_tags_with_e_m_or_s_are_held_to_their_rule(tags: str) -> None:
    with pytest.raises(
        DataError, match=r"a:7, word 2, has \S+ after \S+, which does not fit the other tags\. With E, M"
    ):
        read_entities(tags.split(), "a:7")


@pytest.mark.parametrize("tag", ["PER", "B", "X-PER", "B-", "b-PER", "0", ""])
def test_what_is_no_tag(tag: str) -> None:
    with pytest.raises(
        DataError, match=rf"a:7, word 2, has '{tag}' for a tag\. A tag is O, or one of B I M E S with a"
    ):
        read_entities(["O", tag], "a:7")
