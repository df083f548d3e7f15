"""One replica of deploy/ray without Ray, with an engine that records its tokens: ``python counting_http_server.py PORT
TOKEN``."""

from __future__ import annotations

import sys

import uvicorn

from engine_replica import Replica
from lib.counting_engine import make_engine
from starcoder_ls.settings import Model, Settings

if __name__ == "__main__":
    replica = Replica(Settings(model=Model(threads=1)), sys.argv[2], make_engine)
    uvicorn.run(replica.application, port=int(sys.argv[1]), log_level="error", lifespan="off")
