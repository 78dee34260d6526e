"""The desk's tools as an MCP server for one customer, who sees no orders but their own.

    python -m triage.agent.tools DESK CUSTOMER --triage http://127.0.0.1:8000

speaks the Model Context Protocol over stdin and stdout.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Literal, NotRequired, TypedDict

import httpx
import typer
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

from triage.agent.desk import Desk, Order, Refused
from triage.service.contract import MESSAGE_LIMIT

UNSURE = "front_desk"
"""The team that reads what triage is unsure of."""
SURE = 0.5
"""The confidence from which on triage is believed."""

Number = Annotated[
    str,
    Field(pattern=r"^LR-\d{5}$", description="An order number, such as LR-48213"),
]
Reason = Literal["damaged", "late", "wrong_item", "unwanted"]
Key = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        description="Of this call; repeated, the call has no second effect",
    ),
]
Message = Annotated[
    str, Field(max_length=MESSAGE_LIMIT, description="As the customer wrote it")
]


class Whereabouts(TypedDict):
    status: str
    day: str
    note: NotRequired[str]


class Refunded(TypedDict):
    refunded: str


class HandedOver(TypedDict):
    intent: str


# region server
def server(desk: Desk, customer: str, intent_of: Callable[[str], str]) -> MCPServer:
    """The tools for one customer. `intent_of` is the triage of a message."""
    mcp = MCPServer("larch-desk", log_level="WARNING")

    def own(number: str) -> Order:
        order = desk.look_up(number)
        if order.customer != customer:  # said as if there were none: no oracle
            raise Refused(f"There is no order {number}.")
        return order

    @mcp.tool(annotations=ToolAnnotations(read_only_hint=True))
    def look_up_order(order: Number) -> Whereabouts:
        """Where an order is, and until when"""
        with refusing():
            found = own(order)
        where: Whereabouts = {"status": found.status, "day": found.day}
        if found.note:
            where["note"] = found.note
        return where

    @mcp.tool(annotations=ToolAnnotations(destructive_hint=True, idempotent_hint=True))
    def refund(order: Number, reason: Reason, key: Key) -> Refunded:
        """Pay an order back"""
        with refusing():
            own(order)
            return {"refunded": desk.refund(order, reason, key)["refunded"]}

    @mcp.tool(annotations=ToolAnnotations(destructive_hint=False, idempotent_hint=True))
    def triage(message: Message, key: Key) -> HandedOver:
        """Hand the message to the team that its intent says"""
        intent = intent_of(message)
        with refusing():
            desk.hand_over(message, intent, key)
        return {"intent": intent}

    return mcp


# endregion server


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """What the desk refuses is for the model to read; any other exception is a crash, and stays here."""
    try:
        yield
    except Refused as refusal:
        raise ToolError(str(refusal)) from refusal


# region service
def by_service(address: str, seconds: float = 5.0) -> Callable[[str], str]:
    """What the triage service answers; UNSURE where it is not sure."""

    def intent_of(message: str) -> str:
        asked = httpx.post(
            f"{address}/predict", json={"message": message}, timeout=seconds
        )
        said = asked.raise_for_status().json()
        return said["intent"] if said["confidence"] >= SURE else UNSURE

    return intent_of


# endregion service


def main(desk: Path, customer: str, triage: str = "http://127.0.0.1:8000") -> None:
    """Serve the tools of CUSTOMER over stdin and stdout."""
    server(Desk(desk), customer, by_service(triage)).run()


if __name__ == "__main__":
    typer.run(main)
