"""What a question is to a search for words, and what becomes of two rankings."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

CONSTANT = 1
"""Of the fusion. A small one trusts the first places, a large one what both searches agree on."""
MOST_TERMS = 64
STOP = frozenset(
    re.findall(
        r"\w+",
        """
        a about again all already am an and any are as at be been before but by can could did do does for
        from for get got had has have he her him his how i if in into is it its just long many may me might
        more much must my no not now of off on one only or our out over she should so some such than that
        the their them then there these they this those to too up us very was we were what when where
        whether which who why will with would yet you your
        """,
    )
)
"""Words that say nothing of a question's subject. `my` is rare in runbooks, and still matters nothing."""


# region terms
def terms(question: str, stop: frozenset[str] = STOP) -> str:
    """In FTS5's language: any of the words, each quoted, so none is an operator."""
    words = dict.fromkeys(re.findall(r"\w+(?:[-.]\w+)*", question.lower()))
    telling = [word for word in words if word not in stop]
    return " OR ".join(f'"{word}"' for word in telling[:MOST_TERMS])


# endregion terms


# region fuse
def fuse(rankings: Iterable[Sequence[int]], constant: int = CONSTANT) -> list[int]:
    """Reciprocal rank fusion: a place counts 1 / (constant + place)."""
    scores: dict[int, float] = defaultdict(float)
    for ranking in rankings:
        for place, id in enumerate(ranking, start=1):
            scores[id] += 1 / (constant + place)
    return sorted(scores, key=lambda id: (-scores[id], id))


# endregion fuse
