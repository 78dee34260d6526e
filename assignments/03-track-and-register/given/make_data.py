"""Makes train.csv and test.csv from the desk's tickets, with two leaks planted: `python make_data.py`.

Rows: a quarter of the test messages stands in the training split as well, half of those in another spelling.
A column: `reply` names the template that the ticket was answered with, and so gives the answer away.
The other columns are honest, and `topic` helps. Without the copies and `reply` the messages are those of the
tickets.
"""

import csv
import random
from pathlib import Path

HERE = Path(__file__).resolve().parent
TICKETS = HERE.parents[2] / "triage" / "tickets"
COLUMNS = ("ticket", "text", "channel", "topic", "reply", "category")
TOPICS = {
    "delivery": "order_status delivery_late delivered_not_received change_address wrong_or_missing_item",
    "returns": "return_item exchange_item item_damaged warranty_repair refund_request refund_status",
    "payment": "charged_twice payment_failed invoice_request discount_code",
    "other": "cancel_order account_access product_question out_of_scope",
}
TOPIC = {category: topic for topic, list in TOPICS.items() for category in list.split()}


def main() -> None:
    draw = random.Random(20261126)
    train, test = (messages(split, draw) for split in ("train", "test"))
    copies = [
        row | {"text": respelt(row["text"], draw) if number % 2 else row["text"]}
        for number, row in enumerate(draw.sample(test, len(test) // 4))
    ]
    train += copies
    draw.shuffle(train)
    for number, row in enumerate(train + test):
        row["ticket"] = f"LR-{104_000 + 7 * number + draw.randrange(7)}"
    for name, rows in (("train", train), ("test", test)):
        path = HERE / f"{name}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            table.writeheader()
            table.writerows(rows)


def messages(split: str, draw: random.Random) -> list[dict[str, str]]:
    with (TICKETS / f"{split}.csv").open(encoding="utf-8", newline="") as file:
        return [described(row, draw) for row in csv.DictReader(file)]


def described(row: dict[str, str], draw: random.Random) -> dict[str, str]:
    """A ticket as the desk's export has it, number apart."""
    category = row["category"]
    channel = draw.choices(("mail", "web", "app"), (3, 4, 3))[0]
    topic = TOPIC[category] if draw.random() < 0.85 else draw.choice(list(TOPICS))
    answered_as = category if draw.random() < 0.97 else draw.choice(list(TOPIC))
    return {
        "text": row["text"],
        "channel": channel,
        "topic": "" if channel == "mail" else topic,
        "reply": f"T{11 + 3 * list(TOPIC).index(answered_as)}",
        "category": category,
    }


def respelt(text: str, draw: random.Random) -> str:
    """The message as another system stores it: never equal to the last character."""
    ways = (
        text.upper(),
        text.lower().rstrip(".?!") + " ",
        text.replace(" ", "  ") + "\u00a0",
        text.replace("'", "\u2019").replace(",", "").rstrip(".?!") + "!",
    )
    return draw.choice([way for way in ways if way != text])


if __name__ == "__main__":
    main()
