"""Settings: what there is, where values come from, and the page that explains them.

Reading order: `model` (every setting), `forms` and `address` (what a text must look like),
`checks` (between settings), `loader` and `merge` (from file, environment and flags to settings),
`fields` and `reference` (docs/settings.md).
"""
