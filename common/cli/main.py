"""The command `headwater`.

Exit codes: 0 all went well, 1 it failed at run time, 2 it was called or configured wrongly; a node
also ends with the codes of `common.supervisor.exit_codes`.

Commands import what they need when they run, so that `headwater --help` answers at once.
"""

import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from common.cli.options import (
    ConfigFile,
    Question,
    RedisOption,
    SetOption,
    exit_codes,
    load_for_command,
)

if TYPE_CHECKING:
    from common.config.model import Settings

app = typer.Typer(
    name="headwater",
    help="An RTMP origin/edge cluster: publish to any origin, play from any edge.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers", metavar="N", min=0, max=256, help="Worker processes; 0: one for each core."
    ),
]
ListenOption = Annotated[
    str | None, typer.Option("--listen", metavar="ADDR", help="RTMP address, host:port.")
]
AdminOption = Annotated[
    str | None, typer.Option("--admin", metavar="ADDR", help="Admin address, host:port.")
]
NodeIdOption = Annotated[
    str | None, typer.Option("--node-id", metavar="ID", help="Name of this node in the cluster.")
]
OriginsOption = Annotated[
    int, typer.Option("--origins", metavar="N", min=1, help="How many origins.")
]
EdgesOption = Annotated[int, typer.Option("--edges", metavar="N", min=1, help="How many edges.")]
EachWorkersOption = Annotated[
    int,
    typer.Option("--workers", metavar="N", min=1, max=256, help="Worker processes of each node."),
]
OwnRedisOption = Annotated[
    str | None,
    typer.Option("--redis", metavar="URL", help="A running Redis. By default one is started."),
]
OriginPortOption = Annotated[
    int,
    typer.Option(
        "--origin-port",
        metavar="PORT",
        min=0,
        max=65_535,
        help="Of the first origin, the next has the next; 0: free ones.",
    ),
]
EdgePortOption = Annotated[
    int, typer.Option("--edge-port", metavar="PORT", min=0, max=65_535, help="Likewise for edges.")
]
ReadyFdOption = Annotated[int | None, typer.Option("--ready-fd", hidden=True)]


def _add_node_command(role: str, summary: str) -> None:
    """Add the command that runs a node of ``role``; both roles take the same options."""

    @app.command(role, help=summary)
    def run(
        config: ConfigFile = None,
        workers: WorkersOption = None,
        listen: ListenOption = None,
        admin: AdminOption = None,
        redis: RedisOption = None,
        node_id: NodeIdOption = None,
        set_: SetOption = None,
        ready_fd: ReadyFdOption = None,
    ) -> None:
        flags: dict[tuple[str, str], object] = {
            ("--workers", "node.workers"): workers,
            ("--listen", "rtmp.listen"): listen,
            ("--admin", "admin.listen"): admin,
            ("--redis", "redis.url"): redis,
            ("--node-id", "node.id"): node_id,
        }
        with exit_codes():
            import uvloop

            from common.cluster.records import NodeRole
            from common.logs import setup_logging
            from common.supervisor.node import run_node

            def load() -> "Settings":
                return load_for_command(config, set_, flags).settings

            settings = load()
            setup_logging(settings.log.level, settings.log.format, node=settings.node.id)
            node = run_node(NodeRole(role), settings, load=load, ready_fd=ready_fd)
            raise typer.Exit(uvloop.run(node))


_add_node_command("origin", "Run an origin: encoders publish to it.")
_add_node_command("edge", "Run an edge: players watch from it.")


@app.command("config")
def show_config(
    config: ConfigFile = None,
    set_: SetOption = None,
    sources: Annotated[
        bool, typer.Option("--sources", help="Say where each value came from.")
    ] = False,
) -> None:
    """Print the settings in force, secrets struck out."""
    with exit_codes():
        from common.cli.config_view import settings_as_yaml

        loaded = load_for_command(config, set_, {})
        print(settings_as_yaml(loaded, with_sources=sources), end="")


@app.command()
def streams(
    config: ConfigFile = None,
    redis: RedisOption = None,
    set_: SetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until Ctrl-C.")] = False,
) -> None:
    """List the live streams of the cluster."""
    with exit_codes():
        import uvloop

        from common.cli.streams import show_streams, watch_streams
        from common.cluster.redis_directory import RedisDirectory

        settings = load_for_command(config, set_, {("--redis", "redis.url"): redis}).settings

        async def run() -> None:
            directory = RedisDirectory(settings.redis, settings.lease)
            try:
                await (watch_streams if watch else show_streams)(directory, as_json=as_json)
            finally:
                await directory.close()

        try:
            uvloop.run(run())
        except KeyboardInterrupt:  # how a watch ends
            raise typer.Exit(0) from None


@app.command()
def healthcheck(
    question: Annotated[
        Question, typer.Argument(help="What to ask; each has its own path on the admin port.")
    ] = Question.READY,
    config: ConfigFile = None,
    admin: AdminOption = None,
    set_: SetOption = None,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=0.1, help="For the answer.")
    ] = 3.0,
) -> None:
    """Ask the node on this machine how it is; exit code 0 for yes, 1 for no."""
    with exit_codes():
        from common.cli.healthcheck import ask

        flags: dict[tuple[str, str], object] = {("--admin", "admin.listen"): admin}
        settings = load_for_command(config, set_, flags).settings
        print(ask(question, settings.admin.listen, timeout))


@app.command()
def up(
    origins: OriginsOption = 2,
    edges: EdgesOption = 2,
    workers: EachWorkersOption = 2,
    redis: OwnRedisOption = None,
    origin_port: OriginPortOption = 0,
    edge_port: EdgePortOption = 0,
    config: ConfigFile = None,
    set_: SetOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="When all is ready, print one line of JSON.")
    ] = False,
) -> None:
    """Run a whole cluster on this machine, until Ctrl-C."""
    with exit_codes():
        # What is wrong is said here once instead of by every node in turn.
        load_for_command(config, set_, {("--redis", "redis.url"): redis})
        import uvloop

        from common.local.cluster import ClusterOptions
        from common.local.up import UpOptions, run_up

        cluster = ClusterOptions(
            origins=origins,
            edges=edges,
            workers=workers,
            redis=redis,
            origin_port=origin_port,
            edge_port=edge_port,
            config=config,
            settings=tuple(set_ or ()),
        )
        raise typer.Exit(uvloop.run(run_up(UpOptions(cluster=cluster, json=as_json))))


@app.command()
def demo(
    origins: OriginsOption = 2,
    edges: EdgesOption = 2,
    workers: EachWorkersOption = 2,
    redis: OwnRedisOption = None,
    duration: Annotated[
        float | None,
        typer.Option("--duration", metavar="SECONDS", min=1, help="End by itself, with a verdict."),
    ] = None,
) -> None:
    """Run a cluster with a test picture, players and a live table of what flows."""
    with exit_codes():
        load_for_command(None, None, {("--redis", "redis.url"): redis})
        import uvloop

        from common.local.cluster import ClusterOptions
        from common.local.demo import DemoOptions, run_demo

        cluster = ClusterOptions(origins=origins, edges=edges, workers=workers, redis=redis)
        options = DemoOptions(cluster=cluster, duration_s=duration)
        raise typer.Exit(uvloop.run(run_demo(options)))


@app.command("probe")
def run_probe(
    publish_url: Annotated[
        str, typer.Argument(metavar="PUBLISH_URL", help="rtmp:// to publish to.")
    ],
    play_url: Annotated[str, typer.Argument(metavar="PLAY_URL", help="rtmp:// to play from.")],
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.04, max=3600, help="How much video.")
    ] = 1.0,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=1, help="How long it may take.")
    ] = 20.0,
) -> None:
    """Publish a second of made-up video, play it, and say how it came through."""
    with exit_codes():
        import uvloop

        from common.local.probe import probe

        print(uvloop.run(probe(publish_url, play_url, seconds=seconds, timeout_s=timeout)))


@app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": [],  # the bench has a help of its own
    }
)
def bench(context: typer.Context) -> None:
    """Measure Headwater beside other servers (needs headwater[bench])."""
    with exit_codes():
        from common.cli.bench import run_bench

        run_bench(context.args)


@app.command()
def version() -> None:
    """Print the version, and whether the hot paths are compiled."""
    from importlib.metadata import version as version_of

    from common.rtmp import chunk_reader

    compiled = "" if chunk_reader.__file__.endswith(".py") else " (compiled)"
    print(f"headwater {version_of('headwater')}{compiled}")


def main() -> None:
    """Run the command line; never returns."""
    if os.getpid() == 1:
        # The kernel spares pid 1 all signals without a handler, and a node has its own only once it
        # runs: a container that is stopped while it starts would sit out its grace period.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    app()
