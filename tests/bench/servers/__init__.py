"""Starters: Headwater, its peers, and the raw send loop that is the limit for all of them."""
