"""The node that pulls streams from origins and fans them out to viewers."""
