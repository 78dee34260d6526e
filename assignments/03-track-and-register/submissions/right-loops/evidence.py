"""What the data and the runs of the desk prove, with nothing imported."""


def copies(train, test):
    places = []
    there = [letters(text) for text in test]
    for place in range(len(train)):
        if letters(train[place]) in there:
            places.append(place)
    return places


def letters(text):
    kept = ""
    for sign in text:
        if sign.isalnum():
            kept += sign.lower()
    return kept


def telling(train, test):
    guilty = []
    for column in train[0]:
        if column in ("text", "category"):
            continue
        counts = {}
        for row in train:
            pair = (row[column], row["category"])
            counts[pair] = counts.get(pair, 0) + 1
        guess = {}
        for (value, category), count in counts.items():
            if count > guess.get(value, ("", 0))[1]:
                guess[value] = (category, count)
        right = 0
        for row in test:
            if row[column] in guess and guess[row[column]][0] == row["category"]:
                right += 1
        if 2 * right > len(test):
            guilty.append(column)
    return guilty


def choose(runs, data_digest):
    best, highest = None, -1
    for run in runs:
        if run["status"] != "FINISHED" or run["params"]["data_digest"] != data_digest:
            continue
        held_out = run["metrics"].get("held_out_accuracy", -1)
        if held_out > highest:
            best, highest = run["id"], held_out
    return best


def difference(before, after):
    count = len(before)
    won = sum(1 for old, new in zip(before, after, strict=True) if new and not old)
    lost = sum(1 for old, new in zip(before, after, strict=True) if old and not new)
    gap = (won - lost) / count
    variance = (won + lost) / count - gap**2
    return [gap, (variance / (count - 1)) ** 0.5]
