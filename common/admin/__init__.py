"""Health, metrics and status of a node over HTTP: `health` (the answers), `server`."""
