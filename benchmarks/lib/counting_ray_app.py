"""The Ray Serve application of deploy/ray with engines that record the tokens which they generate."""

from ray.serve import Application

from lib.counting_engine import make_engine
from ray_app import Options, application


def build(options: Options) -> Application:
    """The application for ``serve run``. Replicas import ``make_engine`` by its name."""
    return application(options, make_engine)
