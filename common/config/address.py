"""Addresses as people write them: host:port, with brackets round an IPv6 host."""

MAX_PORT = 65_535


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of "host:port", "[::1]:port" or ":port" (an empty host: all).

    Raises ValueError, with a sentence for people, when it is none of these.
    """
    host, separator, port = address.rpartition(":")
    if not separator or not port.isascii() or not port.isdigit() or int(port) > MAX_PORT:
        raise ValueError(f"must end with a port, as in host:port, at most {MAX_PORT}")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("needs brackets round an IPv6 host, as in [::1]:1935")
    if any(char.isspace() or char in "/@[]" for char in host):
        raise ValueError("must be a plain host name or IP address before the port")
    return host, int(port)


def join_address(host: str, port: int) -> str:
    """Return "host:port", with brackets where the host is an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
