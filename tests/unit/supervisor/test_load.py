from common.cluster.records import StreamLoad
from common.ids import StreamKey
from common.supervisor.app import WorkerStatus
from common.supervisor.load import Load, add_up, by_slot
from common.supervisor.messages import Vitals
from common.supervisor.worker_process import Figures

ONE, TWO = StreamKey("live/one"), StreamKey("live/two")


def test_no_worker_has_no_load() -> None:
    assert add_up([]) == Load(streams={})


def test_figures_of_workers_add_up() -> None:
    first = Figures(
        status=WorkerStatus(
            viewers=3,
            publishers=1,
            streams={ONE: StreamLoad(viewers=3, bitrate_bps=1000, standbys=1)},
        ),
        vitals=Vitals(cpu_share=0.2, egress_bps=3000),
    )
    second = Figures(
        status=WorkerStatus(
            viewers=7,
            streams={
                ONE: StreamLoad(viewers=5, bitrate_bps=900, codecs=("avc1",), standbys=2),
                TWO: StreamLoad(viewers=2),
            },
        ),
        vitals=Vitals(cpu_share=0.7, egress_bps=5000),
    )
    assert add_up([first, second]) == Load(
        viewers=10,
        publishers=1,
        egress_bps=8000,
        cpu_share=0.7,
        streams={
            ONE: StreamLoad(viewers=8, bitrate_bps=1000, codecs=("avc1",), standbys=3),
            TWO: StreamLoad(viewers=2),
        },
    )


def test_relay_addresses_stand_in_the_places_of_their_workers() -> None:
    told = {0: "h:0", 1: "h:1", 2: "h:2", 3: ""}
    assert by_slot(told, {0, 1, 2, 3}) == ("h:0", "h:1", "h:2")
    assert by_slot(told, {2, 3}) == ("", "", "h:2"), "one that is not ready is not asked"
    assert by_slot({0: "", 1: ""}, {0, 1}) == by_slot({}, {0}) == ()
