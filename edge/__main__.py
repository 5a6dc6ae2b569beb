"""``python -m edge``: one edge worker, started by the supervisor."""

from common.supervisor.worker import run_worker
from edge.app import EdgeApp

if __name__ == "__main__":
    run_worker(EdgeApp)
