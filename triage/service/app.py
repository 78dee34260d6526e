"""The application: routes and lifecycle. `create_app(model, sha256)` gives an ASGI app any server can run."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from triage.prediction import Classifier
from triage.service import contract, problems
from triage.service.batching import Batcher, Computed
from triage.service.disconnects import CancelOnDisconnect
from triage.service.limits import BodyLimit
from triage.service.metrics import Metrics

if TYPE_CHECKING:
    from triage.service.tracing import Traces

WARM_UP = "where is my order"


# region app
def create_app(
    model: Classifier,
    sha256: str,
    workers: int = 1,
    traces: "Traces | None" = None,
) -> FastAPI:
    """The triage service around a loaded model whose file has this checksum."""
    metrics = Metrics()

    def computed(batch: Computed) -> None:
        metrics.batch.observe(len(batch.messages))
        if traces:
            traces.record(batch)

    batcher = Batcher(model.predict, computed, workers=workers)
    metrics.waiting.set_function(lambda: len(batcher.waiting))
    described = contract.describe(model, sha256)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        worker = asyncio.create_task(batcher.run())
        await batcher.submit(
            WARM_UP
        )  # the first call is the slowest: no customer should be the one who makes it
        app.state.ready = True
        yield
        app.state.ready = False
        worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await worker
        if traces:
            await asyncio.to_thread(traces.close)

    app = FastAPI(
        title="Triage",
        summary="A support message in, its intent out.",
        version="1",
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,  # FastAPI's pages load their scripts from a CDN;
        redoc_url=None,  # /openapi.json opens in any viewer
    )
    app.state.ready = False
    problems.install(app)
    app.add_middleware(CancelOnDisconnect)
    app.add_middleware(BodyLimit)
    metrics.install(app)  # last, so outermost: what the limit refuses is counted too
    if traces:
        traces.install(app)

    @app.post("/predict", responses=problems.promised(400, 408, 413, 422, 500, 503))
    async def predict(request: contract.Request) -> contract.Answer:
        """The message's intent, how sure the model is, and the runners-up."""
        prediction = await batcher.submit(request.message)
        metrics.predictions.labels(prediction.intent).inc()
        metrics.confidence.observe(prediction.confidence)
        return contract.answer(prediction, described)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process is alive. A failure means: restart me."""
        return {"status": "alive"}

    @app.get("/readyz", responses=problems.promised(503))
    async def readyz() -> JSONResponse:
        """The model is loaded and we are staying. A failure means: ask elsewhere."""
        if app.state.ready:
            return JSONResponse({"status": "ready"})
        return problems.problem(
            503,
            "not-ready",
            "The service is starting or stopping. Ask another instance.",
        )

    return app


# endregion app
