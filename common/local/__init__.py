"""A cluster on one machine: for developers, the demo, tests and benches."""
