"""Publishers in real time, many in one process."""
