"""The project's model behind the chat API, with a grammar: whoever asks gets a call that is valid, or words.

    python -m triage.agent.api [FOLDER] --port 8001

`transformers serve` does the same without the grammar.
"""

import time
import uuid
from pathlib import Path
from typing import Any

import typer
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from triage.agent.dialogues import Message
from triage.agent.endpoint import Local, Model
from triage.agent.model import kept

NAME = "assistant"


class Completion(BaseModel):
    """The part of a request that is heeded. The rest, such as the temperature, changes nothing here."""

    model_config = ConfigDict(extra="ignore")

    model: str
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] = []
    stream: bool = False


# region api
def api(model: Model) -> FastAPI:
    """The two routes that an agent needs."""
    app = FastAPI(title="A small assistant", docs_url=None, redoc_url=None)

    @app.exception_handler(HTTPException)
    def refused(request: Request, problem: HTTPException) -> JSONResponse:
        """In the form that OpenAI's clients read."""
        error = {"message": problem.detail, "type": "invalid_request_error"}
        return JSONResponse({"error": error}, problem.status_code)

    @app.get("/v1/models")
    def models() -> Message:
        return {"object": "list", "data": [{"id": NAME, "object": "model"}]}

    @app.post("/v1/chat/completions")
    def complete(asked: Completion) -> Message:
        if asked.model != NAME:
            raise HTTPException(404, f"There is no model {asked.model}, only {NAME}.")
        if asked.stream:
            raise HTTPException(400, "This server does not stream.")
        said = model.say(asked.messages, asked.tools)
        is_call = "tool_calls" in said.message
        return {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": NAME,
            "choices": [
                {
                    "index": 0,
                    "message": said.message,
                    "finish_reason": "tool_calls" if is_call else "stop",
                }
            ],
            "usage": {
                "prompt_tokens": said.prompt_tokens,
                "completion_tokens": said.answer_tokens,
                "total_tokens": said.prompt_tokens + said.answer_tokens,
            },
        }

    return app


# endregion api


def main(folder: Path | None = None, port: int = 8001) -> None:
    """Serve the model in FOLDER on this machine; without one, train it first if that has not been done."""
    uvicorn.run(api(Local(folder or kept())), port=port, log_level="warning")


if __name__ == "__main__":
    typer.run(main)
