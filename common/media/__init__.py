"""What flows through a stream: FLV bodies, their classification, caches and clocks; sans-IO.

Reading order: `packet` (the unit), `flv` and `ertmp` (what a body is), `codec` (names), `metadata`
(data messages), `gop` (what a viewer that joins is given), `recent` (what a relay that was cut is
given), `timeline` and `relay_timeline` (timestamps), `flv_file` (the container).
"""
