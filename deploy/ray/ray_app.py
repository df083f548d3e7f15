"""A Ray Serve application: replicas of this program's own engine, with one replica for a document.

    serve run ray_app:build token_file=/etc/starcoder-ls/replica-token replicas=2

README.md says how to start it. Each replica has the HTTP API of `serve --http`. Ray reads the annotations of ``build``
as they are, so this module does not defer them.
"""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.serve import Application
from ray.serve.config import RequestRouterConfig
from starlette.types import ASGIApp

from document_router import DocumentRouter
from engine_replica import Replica
from starcoder_ls import settings
from starcoder_ls.generation import EngineFactory
from starcoder_ls.private_files import read_token


class Options(BaseModel):
    """``settings_file`` is a settings file of starcoder-ls, whose sections `model` and `adapters` are read; without it
    the bundled model is served. ``cpus`` and ``gpus`` are those of one replica. ``max_requests``: how many it works on
    at the same time. Without ``by_document`` Ray chooses the replica by load alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token_file: Path
    settings_file: Path | None = None
    replicas: Annotated[int, Field(ge=1)] = 2
    cpus: Annotated[float, Field(gt=0)] = 1.0
    gpus: Annotated[float, Field(ge=0)] = 0.0
    max_requests: Annotated[int, Field(ge=1)] = 32
    by_document: bool = True


@serve.deployment(health_check_period_s=2, graceful_shutdown_timeout_s=10)
@serve.ingress()
class EngineDeployment:
    """Ray makes one in each process. Raises what ``Replica`` raises, and Ray then tries again and reports it."""

    def __init__(self, options: Options, make_engine: EngineFactory | None = None) -> None:
        config = settings.load({}, file=options.settings_file)
        self._replica = Replica(config, read_token(options.token_file, "`token_file`"), make_engine)

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """Ray sends the replica's requests to it."""
        return self._replica.application

    def check_health(self) -> None:
        """Ray replaces a replica for which this raises."""
        self._replica.require_healthy()

    def __del__(self) -> None:
        """Ray calls it when a replica is removed, after its requests have ended."""
        if hasattr(self, "_replica"):
            self._replica.close()


def build(options: Options) -> Application:
    """The application for ``serve run`` and for a configuration file."""
    return application(options)


def application(options: Options, make_engine: EngineFactory | None = None) -> Application:
    """Replicas with the engines of ``make_engine``, by default the model of the settings in their processes."""
    router = RequestRouterConfig(request_router_class=DocumentRouter) if options.by_document else RequestRouterConfig()
    deployment = EngineDeployment.options(
        num_replicas=options.replicas,
        max_ongoing_requests=options.max_requests,
        ray_actor_options={"num_cpus": options.cpus, "num_gpus": options.gpus},
        request_router_config=router,
    )
    return deployment.bind(options, make_engine)
