"""Keeps the worker processes of a node alive, and puts a node together."""
