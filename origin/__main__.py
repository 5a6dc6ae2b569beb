"""``python -m origin``: one origin worker, started by the supervisor."""

from common.supervisor.worker import run_worker
from origin.app import make_app

if __name__ == "__main__":
    run_worker(make_app)
