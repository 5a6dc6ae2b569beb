"""The node that accepts encoders and holds their streams."""
