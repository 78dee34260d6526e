"""Errors as RFC 9457 problem details: a stable `type` for programs, a sentence for people, no traceback."""

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException


class Problem(BaseModel):
    """RFC 9457 problem details; clients switch on `type`."""

    type: str
    title: str
    status: int
    detail: str


def promised(*statuses: int) -> dict[int | str, dict]:
    """For a route's `responses`: these statuses come as problem documents, and OpenAPI says so."""
    content = {"application/problem+json": {"schema": Problem.model_json_schema()}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": content}
        for status in statuses
    }


def problem(
    status: int, kind: str, detail: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    """A problem document; `kind` is the part of `type` that clients switch on."""
    document = Problem(
        type=f"urn:triage:problem:{kind}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
    )
    return JSONResponse(
        document.model_dump(),
        status_code=status,
        headers=headers,
        media_type="application/problem+json",
    )


class Overloaded(Exception):
    """More messages wait than the service can answer in time."""


def install(app: FastAPI) -> None:
    """Give `app` a problem document for everything that can go wrong in it."""

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            return problem(
                400,
                "malformed-json",
                'The body is not JSON. Send {"message": "…"} as UTF-8.',
            )
        if first["type"] == "model_attributes_type":
            return problem(
                422,
                "invalid-request",
                'The body is not a JSON object. Send {"message": "…"} as application/json.',
            )
        field = ".".join(str(part) for part in first["loc"][1:]) or "body"
        return problem(
            422, "invalid-request", f'{field}: {first["msg"]}. Send {{"message": "…"}}.'
        )

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 400:  # FastAPI's word for a body that is not even text
            return problem(
                400,
                "malformed-json",
                'The body is not UTF-8 JSON. Send {"message": "…"}.',
            )
        kind = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
        return problem(
            error.status_code, kind, str(error.detail), dict(error.headers or {})
        )

    @app.exception_handler(Overloaded)
    async def overloaded(request: Request, error: Overloaded) -> JSONResponse:
        return problem(
            503,
            "overloaded",
            "Too many messages are waiting. Try again shortly.",
            {"Retry-After": "1"},
        )

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        return problem(
            500, "internal", "The service failed on this request. The log says why."
        )
