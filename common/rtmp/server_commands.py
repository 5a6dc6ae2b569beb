"""What each command of a client does on the server, in whatever order they come.

A command is a function in `COMMANDS`; they are called once `connect` is accepted. No command may
raise: arguments are taken with the functions at the end of this file, which accept anything.
"""

import math
from collections.abc import Callable
from typing import Any, Final, TypeGuard

from common.rtmp import replies
from common.rtmp.command import Command
from common.rtmp.events import PauseChanged, PlayRequested, PublishRequested, TrackChanged
from common.rtmp.message import UserControl
from common.rtmp.server_core import PLAY_STATES, PUBLISH_STATES, ServerCore, State

Handler = Callable[[ServerCore, Command, int], None]
"""Takes the connection, the command, and the message stream that it came on."""

_LIVE: Final = -2.0  # the default of play's start [RTMP 1.0 §7.2.2.1]


def release_stream(core: ServerCore, command: Command, stream_id: int) -> None:
    """Answer; there is nothing to release, since a second publisher is a matter of policy."""
    core.reply_result(command)


def fc_publish(core: ServerCore, command: Command, stream_id: int) -> None:
    """Answer with the notice that FMLE and some appliances wait for, under the same id."""
    if command.transaction_id == 0:
        return  # GStreamer: no answer wanted
    core.reply_result(command)
    core.reply(replies.on_fc_publish(command.transaction_id))


def fc_unpublish(core: ServerCore, command: Command, stream_id: int) -> None:
    """End the publish. The connection stays usable: FMLE publishes again on it."""
    publishing = core.stream_id
    core.reply(replies.on_fc_unpublish())
    core.reply_result(command)
    if core.state in PUBLISH_STATES:
        _unpublish(core, publishing)


def fc_subscribe(core: ServerCore, command: Command, stream_id: int) -> None:
    """Answer; `play` is what counts."""
    core.reply_result(command)
    core.reply(replies.on_fc_subscribe())


def create_stream(core: ServerCore, command: Command, stream_id: int) -> None:
    """Give out the lowest message stream id that is free: a player may make one for each channel.

    Answered whatever the transaction id: every client waits for it, so by the time that it knows an
    id of a deleted stream as its own, it has all that was sent on that.
    """
    if len(core.stream_ids) >= core.limits.max_message_streams:
        problem = f"more than {core.limits.max_message_streams} streams on a connection"
        core.refuse_call(command, "too_many_streams", "NetConnection.Call.Failed", problem)
        return
    lowest = 1
    while lowest in core.stream_ids:
        lowest += 1
    core.stream_ids += (lowest,)
    core.reply(replies.result(command.transaction_id, lowest))


def delete_stream(core: ServerCore, command: Command, stream_id: int) -> None:
    """End what happens on a stream and forget its id; has no answer."""
    target = argument(command, 0)
    deleted = int(target) if is_finite_number(target) else stream_id
    # An encoder that published on an id of its own making deletes the one we gave it.
    if deleted == core.stream_id or core.stream_id not in core.stream_ids:
        core.stop_stream()
    core.stream_ids = tuple(one for one in core.stream_ids if one != deleted)


def close_stream(core: ServerCore, command: Command, stream_id: int) -> None:
    """End what happens on the stream that the command came on; has no answer."""
    if stream_id in (core.stream_id, 0):
        core.stop_stream()


def publish(core: ServerCore, command: Command, stream_id: int) -> None:
    """Ask the shell whether the client may publish; every publish type is live."""
    name = argument(command, 0)
    if name is False:  # how Wirecast stops
        if core.state in PUBLISH_STATES:
            _unpublish(core, core.stream_id)
        return
    problem = _name_problem(core, name)
    if core.state in PUBLISH_STATES:
        problem = "this connection publishes already"
    elif core.state in PLAY_STATES:
        problem = "this connection plays"
    if problem:
        core.refuse_stream(stream_id, "bad_publish", "NetStream.Publish.BadName", problem)
        return
    kind = text(command, 1) or "live"
    core.enter(State.PUBLISH_PENDING, stream_id=stream_id)
    core.publish_name = name
    core.emit(PublishRequested(stream_id=stream_id, name=name, publish_type=kind))


def _unpublish(core: ServerCore, stream_id: int) -> None:
    core.stop_stream()
    core.notify(replies.status("NetStream.Unpublish.Success", "Unpublished."), stream_id)


def play(core: ServerCore, command: Command, stream_id: int) -> None:
    """Ask the shell for a stream; a play that is going on ends.

    A negative start is live, in seconds by the specification and in ms from ffmpeg and librtmp;
    any other is passed on, but there is nothing but live.
    """
    name = argument(command, 0)
    if name is False:  # how AS3's NetStream.play(false) stops
        core.stop_stream()
        return
    problem = _name_problem(core, name)
    if core.state in PUBLISH_STATES:
        problem = "this connection publishes"
    if problem:
        core.refuse_stream(stream_id, "bad_play", "NetStream.Play.Failed", problem)
        return
    core.stop_stream()
    start = argument(command, 1)
    core.enter(State.PLAY_PENDING, stream_id=stream_id)
    core.emit(
        PlayRequested(
            stream_id=stream_id,
            name=name,
            start=float(start) if is_finite_number(start) else _LIVE,
            reset=flag(command, 3, default=True),
        )
    )


def _name_problem(core: ServerCore, name: Any) -> str:
    if not isinstance(name, str):
        return "the stream name is not a string"
    if encoded_length(name) > core.limits.max_name_bytes:
        return f"the stream name is longer than {core.limits.max_name_bytes} bytes"
    return ""


def pause(core: ServerCore, command: Command, stream_id: int) -> None:
    """Confirm a pause, or going on; the shell then does it."""
    if core.state is not State.PLAYING:
        return
    playing = core.stream_id
    paused = flag(command, 0, default=True)
    if paused:
        core.notify(replies.status("NetStream.Pause.Notify", "Paused."), playing)
        core.send_user_control(UserControl.STREAM_EOF, playing)
    else:
        core.send_user_control(UserControl.STREAM_BEGIN, playing)
        core.notify(replies.status("NetStream.Unpause.Notify", "Unpaused."), playing)
    core.emit(PauseChanged(stream_id=playing, paused=paused))


def seek(core: ServerCore, command: Command, stream_id: int) -> None:
    """Confirm a seek that goes nowhere: ffmpeg waits for the notice, and an error ends it."""
    if core.state is State.PLAYING:
        core.notify(replies.status("NetStream.Seek.Notify", "Live: stays here."), core.stream_id)


def receive_audio(core: ServerCore, command: Command, stream_id: int) -> None:
    """Switch audio off or on for a player."""
    core.wants_audio = flag(command, 0, default=True)
    if core.state is State.PLAYING:
        _confirm_track(core, core.wants_audio)
        core.emit(TrackChanged(stream_id=core.stream_id, audio=core.wants_audio))


def receive_video(core: ServerCore, command: Command, stream_id: int) -> None:
    """Switch video off or on for a player."""
    core.wants_video = flag(command, 0, default=True)
    if core.state is State.PLAYING:
        _confirm_track(core, core.wants_video)
        core.emit(TrackChanged(stream_id=core.stream_id, video=core.wants_video))


def _confirm_track(core: ServerCore, wanted: bool) -> None:
    if wanted:  # RTMP 1.0 §7.2.2.4-5: answered when switched on, not when off
        core.notify(replies.status("NetStream.Seek.Notify", "Live."), core.stream_id)
        core.notify(replies.status("NetStream.Play.Start", "Started."), core.stream_id)


def get_stream_length(core: ServerCore, command: Command, stream_id: int) -> None:
    """Answer 0: live has no length. ffmpeg's players ask."""
    core.reply_result(command, 0)


def check_bandwidth(core: ServerCore, command: Command, stream_id: int) -> None:
    """Answer without ever measuring: Haivision asks before it goes on."""
    core.reply_result(command)


def unknown(core: ServerCore, command: Command, stream_id: int) -> None:
    """Answer null to a call that wants an answer (set_playlist, play2, FCUnsubscribe, …)."""
    core.reply_result(command, None)


COMMANDS: Final[dict[str, Handler]] = {
    "releaseStream": release_stream,
    "FCPublish": fc_publish,
    "FCUnpublish": fc_unpublish,
    "FCSubscribe": fc_subscribe,
    "createStream": create_stream,
    "deleteStream": delete_stream,
    "closeStream": close_stream,
    "publish": publish,
    "play": play,
    "pause": pause,
    "pauseRaw": pause,
    "seek": seek,
    "receiveAudio": receive_audio,
    "receiveVideo": receive_video,
    "getStreamLength": get_stream_length,
    "_checkbw": check_bandwidth,
}


def argument(command: Command, index: int) -> Any:
    """Return an argument, or None where the client left it out."""
    return command.arguments[index] if index < len(command.arguments) else None


def text(command: Command, index: int) -> str:
    """Return an argument that should be a string, or "" for anything else."""
    value = argument(command, index)
    return value if isinstance(value, str) else ""


def flag(command: Command, index: int, *, default: bool) -> bool:
    """Return an argument that should be a boolean; numbers count too (play's reset is 0 to 3)."""
    value = argument(command, index)
    return bool(value) if isinstance(value, bool | int | float) else default


def is_finite_number(value: object) -> TypeGuard[float]:
    """Tell whether ``value`` is a number to calculate with: NaN comes over the wire, too."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def encoded_length(value: str) -> int:
    """Return the length in bytes, as the client sent it."""
    return len(value.encode("utf-8", "surrogateescape"))
