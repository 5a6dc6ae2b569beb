"""What keeps one connection's traffic in bounds: acknowledgements, command rate."""

DEFAULT_ACK_EVERY_BYTES = 2_500_000
"""For a peer that announced no window: FMLE and some appliances stop without acks [SRS]."""

MIN_ACK_EVERY_BYTES = 64 * 1024
"""Floor under the peer's window: a window of 1 would buy 16 bytes of ours per byte of theirs."""

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
