"""What the data and the runs of the desk prove, with pandas."""

import numpy as np
import pandas as pd


def plain(texts):
    kept = pd.Series(texts, dtype=str).str.casefold()
    return kept.str.replace(r"[^0-9a-z]+", "", regex=True)


def copies(train, test):
    return np.flatnonzero(plain(train).isin(plain(test)))


def telling(train, test):
    train, test = pd.DataFrame(train), pd.DataFrame(test)
    found = []
    for column in train.columns.drop(["text", "category"]):
        usual = train.groupby(column)["category"].agg(lambda these: these.mode()[0])
        if (test[column].map(usual) == test["category"]).mean() > 0.5:
            found.append(column)
    return found


def choose(runs, data_digest):
    if not runs:
        return None
    table = pd.json_normalize(runs).set_index("id")
    table = table[table["status"] == "FINISHED"]
    table = table[table["params.data_digest"] == data_digest]
    held_out = table["metrics.held_out_accuracy"].dropna()
    return None if held_out.empty else held_out.idxmax()


def difference(before, after):
    each = np.subtract(after, before, dtype=float)
    return each.mean(), each.std() / np.sqrt(len(each))
