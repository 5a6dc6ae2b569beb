"""Players: many that count and throw away, and a few that look at everything."""
