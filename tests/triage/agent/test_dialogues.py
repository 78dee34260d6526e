"""The desk's dialogues: two sets of phrasings that never meet, calls that fit their tools."""

import jsonschema

from triage.agent.dialogues import LOOK_UP, OTHER, REFUND, TOOLS, TRAINING, UNSEEN, draw

SCHEMAS = {tool["function"]["name"]: tool["function"]["parameters"] for tool in TOOLS}


def test_no_phrasing_is_in_both_sets() -> None:
    seen = {each.phrasing for each in draw(2_000, TRAINING, seed=1)}
    unseen = {each.phrasing for each in draw(2_000, UNSEEN, seed=1)}
    assert not seen & unseen
    listed = [LOOK_UP, *REFUND.values(), OTHER]
    assert len(seen) == sum(len(each[TRAINING]) for each in listed)
    assert len(unseen) == sum(len(each[UNSEEN]) for each in listed)


def test_every_call_is_one_that_its_tool_takes() -> None:
    for dialogue in draw(500, UNSEEN, seed=2):
        call = dialogue.call
        jsonschema.validate(call["arguments"], SCHEMAS[call["name"]])
        assert call["name"] == dialogue.tool
        for value in (call["arguments"].get("order", ""),):
            assert value in dialogue.messages[0]["content"]


def test_the_same_seed_draws_the_same() -> None:
    assert draw(20, TRAINING, seed=3) == draw(20, TRAINING, seed=3)
    assert draw(20, TRAINING, seed=3) != draw(20, TRAINING, seed=4)
