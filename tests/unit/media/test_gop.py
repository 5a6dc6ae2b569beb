import pytest

from common.errors import MediaError
from common.media.flv import SEVERAL_TRACKS
from common.media.gop import (
    MAX_HEADER_BYTES,
    NO_VIDEO_AFTER,
    VIDEO_LOST_AFTER,
    GopCache,
    HeaderCache,
)
from common.media.packet import Packet, Role

TYPE_IDS = {
    Role.METADATA: 18,
    Role.DATA: 18,
    Role.AUDIO: 8,
    Role.AUDIO_HEADER: 8,
    Role.AUDIO_INFO: 8,
}


def packet(
    role: Role, at: int = 0, payload: bytes = b"x", track: int = 0, codec: str = ""
) -> Packet:
    return Packet(TYPE_IDS.get(role, 9), at, payload, role, codec, track)


def gop_cache(max_bytes: int = 1000, max_seconds: float = 10, max_packets: int = 100) -> GopCache:
    return GopCache(max_bytes, max_seconds, max_packets)


def several(*tracks: int) -> Packet:
    sized = b"".join(bytes((each, 0, 0, 1, each)) for each in tracks)
    return packet(Role.VIDEO_HEADER, payload=b"\x96\x10hvc1" + sized, track=SEVERAL_TRACKS)


class TestHeaderCache:
    def test_c78_a_joiner_gets_metadata_then_video_then_audio(self) -> None:
        cache = HeaderCache()
        order = [
            Role.AUDIO_INFO,
            Role.AUDIO_HEADER,
            Role.VIDEO_HEADER,
            Role.METADATA,
            Role.VIDEO_INFO,
        ]
        for role in order:
            cache.put(packet(role))
        assert [each.role for each in cache.for_joiner()] == [
            Role.METADATA,
            Role.VIDEO_INFO,
            Role.VIDEO_HEADER,
            Role.AUDIO_HEADER,
            Role.AUDIO_INFO,
        ]

    def test_c79_an_identical_repeat_is_no_change(self) -> None:
        cache = HeaderCache()
        assert cache.put(packet(Role.VIDEO_HEADER, payload=b"a"))
        assert not cache.put(packet(Role.VIDEO_HEADER, at=500, payload=b"a"))
        assert cache.put(packet(Role.VIDEO_HEADER, payload=b"b"))
        assert [each.payload for each in cache.for_joiner()] == [b"b"]

    def test_tracks_are_kept_apart(self) -> None:
        cache = HeaderCache()
        for track in range(3):
            assert cache.put(packet(Role.AUDIO_HEADER, track=track))
        assert [each.track for each in cache.for_joiner()] == [0, 1, 2]

    def test_a_header_of_several_tracks_supersedes_those_that_it_covers(self) -> None:
        cache = HeaderCache()
        for track in range(3):
            cache.put(packet(Role.VIDEO_HEADER, track=track))
        assert cache.put(several(0, 1))
        assert cache.put(several(1, 0))  # other bytes: a change
        assert [each.track for each in cache.for_joiner()] == [2, SEVERAL_TRACKS]

    def test_a_later_header_of_one_track_comes_after_that_of_several(self) -> None:
        cache = HeaderCache()
        cache.put(several(0, 1))
        cache.put(packet(Role.VIDEO_HEADER, track=1))
        assert [each.track for each in cache.for_joiner()] == [SEVERAL_TRACKS, 1]

    def test_tracks_of_a_kind_are_bounded(self) -> None:
        cache = HeaderCache()
        for track in range(8):
            cache.put(packet(Role.AUDIO_HEADER, track=track))
        with pytest.raises(MediaError, match="too_many_tracks"):
            cache.put(packet(Role.AUDIO_HEADER, track=8))
        assert cache.put(packet(Role.AUDIO_HEADER, payload=b"new", track=3))
        assert len(cache.for_joiner()) == 8

    def test_a_huge_header_is_refused(self) -> None:
        with pytest.raises(MediaError, match="header_too_large"):
            HeaderCache().put(packet(Role.METADATA, payload=bytes(MAX_HEADER_BYTES + 1)))

    def test_c70_cleared_metadata_is_gone_and_nothing_else(self) -> None:
        cache = HeaderCache()
        cache.put(packet(Role.METADATA))
        cache.put(packet(Role.VIDEO_HEADER))
        cache.forget_metadata()
        assert [each.role for each in cache.for_joiner()] == [Role.VIDEO_HEADER]

    def test_c82_nothing_is_left_after_clear(self) -> None:
        cache = HeaderCache()
        cache.put(packet(Role.VIDEO_HEADER, codec="avc1"))
        cache.put(packet(Role.AUDIO_HEADER, codec="mp4a"))
        assert cache.has_video
        assert cache.codecs == ("avc1", "mp4a")
        cache.clear()
        assert not cache.has_video
        assert cache.codecs == ()
        assert cache.for_joiner() == []
        assert cache.put(packet(Role.VIDEO_HEADER, codec="avc1"))


class TestGopCache:
    def test_c78_it_holds_all_since_the_keyframe(self) -> None:
        cache = gop_cache()
        cache.add(packet(Role.AUDIO))
        cache.add(packet(Role.FRAME))
        assert cache.packets == []
        gop = [packet(Role.KEYFRAME, 40), packet(Role.AUDIO, 45), packet(Role.FRAME, 80)]
        gop.append(packet(Role.DATA, 81))
        for each in gop:
            cache.add(each)
        assert cache.packets == gop
        assert cache.generation == 1

    def test_headers_ends_and_drops_are_not_cached(self) -> None:
        cache = gop_cache()
        cache.add(packet(Role.KEYFRAME))
        for role in (Role.END, Role.DROP, Role.VIDEO_HEADER, Role.METADATA):
            cache.add(packet(role))
        assert len(cache.packets) == 1

    def test_a_keyframe_begins_anew_and_leaves_the_old_list_alone(self) -> None:
        cache = gop_cache()
        cache.add(packet(Role.KEYFRAME))
        cache.add(packet(Role.FRAME))
        old = cache.packets
        cache.add(packet(Role.KEYFRAME, 1000))
        assert len(old) == 2
        assert [each.timestamp for each in cache.packets] == [1000]
        assert cache.generation == 2

    @pytest.mark.parametrize(
        ("cache", "too_much"),
        [
            (gop_cache(max_bytes=10), packet(Role.FRAME, payload=bytes(10))),
            (gop_cache(max_seconds=2), packet(Role.FRAME, at=2001)),
            (gop_cache(max_packets=1), packet(Role.FRAME)),
        ],
    )
    def test_over_a_limit_it_is_empty_until_the_next_keyframe(
        self, cache: GopCache, too_much: Packet
    ) -> None:
        cache.add(packet(Role.KEYFRAME))
        assert len(cache.packets) == 1
        cache.add(too_much)
        assert cache.packets == []
        cache.add(packet(Role.FRAME))
        assert cache.packets == []
        cache.add(packet(Role.KEYFRAME, 9000))
        assert len(cache.packets) == 1

    def test_a_cache_of_no_bytes_keeps_nothing(self) -> None:
        cache = gop_cache(max_bytes=0)
        cache.add(packet(Role.KEYFRAME))
        assert cache.packets == []
        assert cache.has_video

    def test_c81_audio_without_video_counts_as_audio_only_after_a_second(self) -> None:
        cache = gop_cache()
        for _ in range(NO_VIDEO_AFTER - 1):
            cache.add(packet(Role.AUDIO))
        assert not cache.audio_only
        cache.add(packet(Role.AUDIO))
        assert cache.audio_only
        cache.add(packet(Role.KEYFRAME))
        assert not cache.audio_only
        assert cache.has_video

    def test_c81_video_that_stops_counts_as_lost_and_its_gop_with_it(self) -> None:
        cache = gop_cache(max_packets=10_000)
        cache.add(packet(Role.KEYFRAME))
        for _ in range(VIDEO_LOST_AFTER):
            assert not cache.audio_only
            cache.add(packet(Role.AUDIO))
        assert cache.audio_only
        assert not cache.has_video
        assert cache.packets == []

    @pytest.mark.parametrize("tracks", [(1,), (0, 1), (3, 2, 1, 0, 4, 5)])
    def test_c81_several_audio_tracks_count_no_sooner_than_one(
        self, tracks: tuple[int, ...]
    ) -> None:
        cache = gop_cache(max_bytes=10_000, max_packets=10_000)

        def hear(times: int) -> None:
            for _ in range(times):
                for track in tracks:
                    cache.add(packet(Role.AUDIO, track=track))

        hear(NO_VIDEO_AFTER - 1)
        assert not cache.audio_only
        hear(1)
        assert cache.audio_only
        cache.add(packet(Role.KEYFRAME))
        tracks = tracks[::-1]  # any of them may be the first behind a picture
        hear(VIDEO_LOST_AFTER - 1)
        assert cache.has_video
        assert cache.packets
        hear(1)
        assert cache.audio_only

    def test_c79_clear_forgets_the_gop(self) -> None:
        cache = gop_cache()
        cache.add(packet(Role.KEYFRAME))
        cache.clear()
        cache.add(packet(Role.FRAME))
        assert cache.packets == []
        assert cache.generation == 1
