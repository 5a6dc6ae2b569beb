"""The bench: what RTMP servers cost, and how late players get what was published.

It imports itself relatively: in the checkout it is ``tests.bench``, else ``headwater_bench``.
"""
