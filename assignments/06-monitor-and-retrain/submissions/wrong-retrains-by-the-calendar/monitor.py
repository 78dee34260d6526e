"""What a day says about the model: nothing, that somebody should look, or that it has to learn again."""

import math

import numpy as np

DELAY = 3
DISTANCE = 7.0  # spreads of a chi-square; calm weeks of ten seeds stay below 5
WORSE = 4.5  # standard errors of accuracy
RECENT = 5  # days whose labels are taken together
CALENDAR = 20  # the day on which the pipeline is run


def watch(baseline, days):
    usual = Usual(baseline)
    history = [*baseline, *days]
    decisions = []
    for number, day in enumerate(days):
        now = len(baseline) + number
        seen = history[: now + 1]
        if broken(day, usual):
            decisions.append("look")
        elif number == CALENDAR:
            decisions.append("retrain")
        elif strange(seen, usual):
            decisions.append("look")
        else:
            decisions.append("quiet")
    return decisions


class Usual:
    """What the baseline says is usual, weekday by weekday where that matters."""

    def __init__(self, baseline):
        self.intents = {r["intent"] for day in baseline for r in day["requests"]}
        self.width = len(baseline[0]["requests"][0]["vector"])
        by_weekday = {}
        for day in baseline:
            by_weekday.setdefault(kind(day), []).extend(day["requests"])
        self.signals = {name: describe(rows) for name, rows in by_weekday.items()}
        self.right, self.labelled = 0, 0
        for right, count in graded(baseline):
            self.right += right
            self.labelled += count


def kind(day):
    return "Monday" if day["weekday"] == 0 else "other"


def describe(requests):
    """Mean and spread of confidence and of each number of the vector."""
    table = features(requests)
    return table.mean(axis=0), np.cov(table.T), len(table)


def features(requests):
    return np.array([[*r["vector"], r["confidence"]] for r in requests])


def broken(day, usual):
    """Whether any request is not what a request is."""
    return any(
        not isinstance(r.get("vector"), list)
        or len(r["vector"]) != usual.width
        or not all(isinstance(x, int | float) and math.isfinite(x) for x in r["vector"])
        or r.get("intent") not in usual.intents
        or not isinstance(r.get("confidence"), int | float)
        or not 0 <= r["confidence"] <= 1
        for r in day["requests"]
    )


def strange(history, usual):
    """Whether the last three days lie far from the same weekdays of the baseline."""
    gap, spread = 0.0, 0.0
    for day in history[-3:]:
        if broken(day, usual):
            return False
        mean, cov, count = usual.signals[kind(day)]
        here = features(day["requests"])
        gap = gap + (here.mean(axis=0) - mean)
        spread = spread + cov * (1 / len(here) + 1 / count)
    squares = float(gap @ np.linalg.solve(spread, gap))
    width = len(gap)
    return (squares - width) / math.sqrt(2 * width) > DISTANCE


def graded(days):
    """For each day, how many of its labels the model had right, and how many there are."""
    for number, day in enumerate(days):
        asked = days[number - DELAY]["requests"] if number >= DELAY else []
        right = sum(asked[row]["intent"] == intent for row, intent in day["labels"])
        yield right, len(day["labels"])


def training_rows(baseline, days):
    """What was labelled since the model became worse; all of it, if it did not."""
    history = [*baseline, *days]
    begin = change(list(graded(history)))
    return [
        [vector, intent]
        for number, day in enumerate(history)
        for vector, intent in labelled(history, number, day)
        if number >= begin and vector is not None
    ]


def labelled(history, number, day):
    for row, intent in day["labels"]:
        yield history[number - DELAY]["requests"][row]["vector"], intent


def change(counts):
    """The day that best divides the days into right more often and right less often, or 0."""
    best, begin = WORSE, 0
    for day in range(RECENT, len(counts) - RECENT):
        (r1, n1), (r2, n2) = map(total, (counts[:day], counts[day:]))
        share = (r1 + r2) / (n1 + n2)
        error = math.sqrt(share * (1 - share) * (1 / n1 + 1 / n2))
        if (r1 / n1 - r2 / n2) / error > best:
            best, begin = (r1 / n1 - r2 / n2) / error, day
    return begin


def total(counts):
    return [sum(column) for column in zip(*counts, strict=True)]
