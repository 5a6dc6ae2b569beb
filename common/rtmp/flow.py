"""What keeps one connection's traffic in bounds: acknowledgements, command rate, progress."""

DEFAULT_ACK_EVERY_BYTES = 2_500_000
"""For a peer that announced no window: FMLE and some appliances stop without acks [SRS]."""

MIN_ACK_EVERY_BYTES = 64 * 1024
"""Floor under the peer's window: a window of 1 would buy 16 bytes of ours per byte of theirs."""

MESSAGE_PROGRESS_WINDOW_S = 10.0
"""How long an unfinished message is watched before its pace is judged …"""

MESSAGE_PROGRESS_BYTES = 1024
"""… and what must arrive meanwhile: 1 kbit/s, far below any real uplink, stops slow dribbling."""

_COUNTER_MASK = 0xFFFFFFFF


class AckSchedule:
    """Says when to acknowledge received bytes [RTMP 1.0 §5.4.3-4].

    Asked once per read, so that one read causes one acknowledgement at most.
    """

    __slots__ = ("_acknowledged", "_every", "due_at")

    def __init__(self) -> None:
        self._acknowledged = 0
        self._every = DEFAULT_ACK_EVERY_BYTES
        self.due_at = DEFAULT_ACK_EVERY_BYTES
        """How many bytes received make it worth asking."""

    def honour_window(self, window: int) -> None:
        """Acknowledge at half of the peer's window from now on, as ffmpeg and SRS do."""
        self._every = max(window // 2, MIN_ACK_EVERY_BYTES)
        self.due_at = self._acknowledged + self._every

    def take_due(self, received: int) -> int | None:
        """Return the value to acknowledge, or None; ``received`` counts all bytes so far.

        The value wraps at 2^32; it must never stop, or hardware encoders stop near 4 GB.
        """
        if received < self.due_at:
            return None
        self._acknowledged = received
        self.due_at = received + self._every
        return received & _COUNTER_MASK


class TokenBucket:
    """Lets ``burst`` things pass at once and ``rate_per_s`` in the long run."""

    __slots__ = ("_burst", "_filled_at", "_rate_per_s", "_tokens")

    def __init__(self, rate_per_s: float, burst: int, now: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = float(burst)
        self._tokens = self._burst
        self._filled_at = now

    def take(self, now: float) -> bool:
        """Take one token; False when there is none."""
        gained = (now - self._filled_at) * self._rate_per_s
        self._tokens = min(self._burst, self._tokens + gained)
        self._filled_at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class ProgressWatch:
    """Notices an unfinished message that dribbles in, byte by byte, to hold memory for ever.

    There is one while a message is unfinished; ``received`` counts all bytes so far.
    """

    __slots__ = ("_received", "deadline")

    def __init__(self, received: int, now: float) -> None:
        self.deadline = 0.0
        """When to call `is_stalled`."""
        self._received = 0
        self.restart(received, now)

    def restart(self, received: int, now: float) -> None:
        """Begin the window anew: a message was finished, and the next one is begun."""
        self.deadline = now + MESSAGE_PROGRESS_WINDOW_S
        self._received = received

    def is_stalled(self, received: int, now: float) -> bool:
        """Tell at the deadline whether too little came; start the next window otherwise."""
        if now < self.deadline:
            return False
        stalled = received - self._received < MESSAGE_PROGRESS_BYTES
        self.restart(received, now)
        return stalled
