"""``python -m edge``: one edge worker, started by the supervisor."""

from common.supervisor.worker import run_worker
from edge.app import make_app

if __name__ == "__main__":
    run_worker(make_app)
