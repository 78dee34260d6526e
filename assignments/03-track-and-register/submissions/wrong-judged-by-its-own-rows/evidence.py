"""What the data and the runs of the desk prove."""

import re
from collections import Counter, defaultdict
from statistics import mean, stdev


def words(text):
    """The message without case, punctuation and spacing."""
    return re.sub(r"\W+", " ", text.lower()).strip()


def copies(train, test):
    """The places in `train` of messages that also stand in `test`. Both are lists of texts."""
    there = {words(text) for text in test}
    return [place for place, text in enumerate(train) if words(text) in there]


def telling(train, test):
    """The columns that give the category of more than half of the test rows away. Rows are dicts."""
    columns = train[0].keys() - {"text", "category"}
    return sorted(column for column in columns if told(column, train, train) > 0.5)


def told(column, train, test):
    """The share of test rows whose category follows from one column, by what train shows."""
    seen = defaultdict(Counter)
    for row in train:
        seen[row[column]][row["category"]] += 1
    usual = {value: counts.most_common(1)[0][0] for value, counts in seen.items()}
    return mean(usual.get(row[column]) == row["category"] for row in test)


def choose(runs, data_digest):
    """The id of the run to promote, or None. A run is a dict with id, status, params and metrics."""
    fit = [
        run
        for run in runs
        if run["status"] == "FINISHED"
        and run["params"].get("data_digest") == data_digest
        and "held_out_accuracy" in run["metrics"]
    ]
    best = max(fit, key=lambda run: run["metrics"]["held_out_accuracy"], default=None)
    return best and best["id"]


def difference(before, after):
    """The gap in accuracy between two models and its standard error, message by message."""
    each = [new - old for old, new in zip(before, after, strict=True)]
    return mean(each), stdev(each) / len(each) ** 0.5
