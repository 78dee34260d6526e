"""The host's side of MCP: what the model may see of a server's tools, and what it may not decide."""

import contextlib
import json
import sys
from collections.abc import Mapping
from typing import Any

from anyio.from_thread import start_blocking_portal
from mcp import Client, MCPError, StdioServerParameters, stdio_client
from mcp.server import MCPServer
from mcp.types import REQUEST_TIMEOUT, CallToolResult, TextContent, Tool

from triage.agent.dialogues import Message

BOUND = ("key", "message")
"""Arguments that the host fills in: what a model cannot name, it cannot get wrong or be talked into."""


Server = MCPServer | StdioServerParameters | str
"""In this process, a program to start, or an address."""


class Toolbox(contextlib.AbstractContextManager["Toolbox"]):
    """A connection to one MCP server.

    `seconds` is how long a call may take; a call that takes longer is sent once more, with the same key.
    """

    def __init__(self, server: Server, seconds: float = 10.0):
        self._server, self._seconds = server, seconds
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Toolbox":
        with contextlib.ExitStack() as stack:
            self._portal = stack.enter_context(start_blocking_portal())
            self._client: Client = stack.enter_context(
                self._portal.wrap_async_context_manager(
                    Client(connection(self._server))
                )
            )
            self._tools: dict[str, Tool] = {
                tool.name: tool
                for tool in self._portal.call(self._client.list_tools).tools
            }
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    # region schemas
    @property
    def schemas(self) -> list[Message]:
        """The tools as the chat API describes them, without what the host fills in."""
        return [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description or "",
                    "parameters": without(tool.input_schema, BOUND),
                },
            }
            for tool in self._tools.values()
        ]

    # endregion schemas

    @property
    def destructive(self) -> frozenset[str]:
        """The tools that say of themselves that what they do cannot be undone."""
        return frozenset(
            name
            for name, tool in self._tools.items()
            if tool.annotations and tool.annotations.destructive_hint
        )

    # region call
    def call(
        self, name: str, arguments: Mapping[str, Any], bound: Mapping[str, str]
    ) -> dict[str, Any]:
        """What the tool says; {"error": …} for the model to read if it does not do it.

        `bound` are the values of BOUND; a tool gets those that it has parameters for.
        """
        if name not in self._tools:
            return {"error": f"There is no {name}; there is {', '.join(self._tools)}."}
        if taken := sorted(set(arguments) & set(BOUND)):
            return {"error": f"{name} takes no {' or '.join(taken)}."}
        wanted = self._tools[name].input_schema.get("properties", {})
        filled = dict(arguments) | {
            key: value for key, value in bound.items() if key in wanted
        }
        for _ in range(2):
            try:
                return said(self._send(name, filled))
            except MCPError as error:
                if error.error.code != REQUEST_TIMEOUT:
                    return {"error": f"{name} failed: {error.error.message}"}
        return {"error": f"{name} did not answer within {self._seconds:g} seconds."}

    # endregion call

    def _send(self, name: str, arguments: dict[str, Any]) -> CallToolResult:
        return self._portal.call(self._client.call_tool, name, arguments, self._seconds)


def connection(server: Server) -> Any:
    """What the SDK connects to. A program's complaints go where this process's own go.

    By default they go to `sys.stderr`, which in a notebook need not be a file.
    """
    if isinstance(server, StdioServerParameters):
        return stdio_client(server, errlog=sys.__stderr__ or sys.stderr)
    return server


def said(result: CallToolResult) -> dict[str, Any]:
    """A result as JSON. The server's texts are data: whoever reads them must not take orders from them."""
    text = " ".join(
        block.text for block in result.content if isinstance(block, TextContent)
    )
    if result.is_error:
        prefix, _, rest = text.partition(": ")
        return {
            "error": rest
            if prefix.startswith("Error executing tool") and rest
            else text
        }
    if result.structured_content is not None:
        return dict(result.structured_content)
    with contextlib.suppress(json.JSONDecodeError):
        if isinstance(parsed := json.loads(text), dict):
            return parsed
    return {"text": text}


def without(schema: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The schema of an object without some of its properties, and closed for others."""
    properties = {
        name: {key: value for key, value in described.items() if key != "title"}
        for name, described in schema.get("properties", {}).items()
        if name not in names
    }
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in schema.get("required", []) if name in properties],
        "additionalProperties": False,
    }
