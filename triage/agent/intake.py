"""The door of the inbox: tickets come in over HTTP, and what is going on can be read.

python -m triage.agent.intake FOLDER --port 8080
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
import uvicorn
from fastapi import FastAPI, HTTPException, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from pydantic import BaseModel, Field

from triage.agent.budget import Purse
from triage.agent.inbox import Full, Inbox
from triage.service.contract import MESSAGE_LIMIT

Name = Annotated[str, Field(min_length=1, max_length=100)]


class Ticket(BaseModel):
    """`customer` is set by the gateway from whoever logged in."""

    id: Name
    customer: Name
    text: Annotated[str, Field(min_length=1, max_length=MESSAGE_LIMIT)]


# region door
def intake(inbox: Inbox, purse: Purse) -> FastAPI:
    app = FastAPI(title="Tickets for the agent", docs_url=None, redoc_url=None)
    registry = CollectorRegistry()
    registry.register(Figures(inbox, purse))

    @app.post("/tickets", status_code=202)
    def put(ticket: Ticket) -> dict[str, str]:
        try:
            inbox.put(ticket.id, ticket.customer, ticket.text)
        except Full as full:
            raise HTTPException(503, str(full), {"Retry-After": "60"}) from full
        return {"id": ticket.id}

    @app.get("/healthz")
    def alive() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    def ready() -> dict[str, int]:
        return inbox.counts()  # it can be read, so tickets can be put

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(registry), media_type="text/plain")

    return app


# endregion door


# region figures
class Figures(Collector):
    """Read from the files at each scrape: what is counted there outlives every process."""

    def __init__(self, inbox: Inbox, purse: Purse):
        self.inbox, self.purse = inbox, purse

    def collect(self) -> Iterator[Metric]:
        counts = self.inbox.counts()
        waiting = counts["waiting"] + counts["taken"]
        yield gauge("agent_tickets_open", "Tickets that wait or are in hand", waiting)
        yield gauge("agent_oldest_seconds", "Age of the oldest", self.inbox.oldest())
        ended = CounterMetricFamily(
            "agent_tickets", "Tickets that have ended", labels=["kind"]
        )
        kinds = Counter(kind for _, kind, *_ in self.inbox.endings())
        for kind in ("done", "person", "limit"):
            ended.add_metric([kind], kinds[kind])
        yield ended
        euros = CounterMetricFamily("agent_euros", "Spent on models", labels=["model"])
        for model, spent in self.purse.spent().items():
            euros.add_metric([model], spent)
        yield euros


# endregion figures


def gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def main(
    folder: Path,
    host: str = "127.0.0.1",
    port: int = 8080,
    ticket_euros: float = 0.05,
    day_euros: float = 20.0,
) -> None:
    """Take tickets for the workers of FOLDER."""
    purse = Purse(folder / "spending.db", ticket_euros, day_euros)
    app = intake(Inbox(folder / "inbox.db"), purse)
    uvicorn.run(app, host=host, port=port, log_level="warning")


if __name__ == "__main__":
    typer.run(main)
