"""What origin and edge share: protocol core, media, cluster, network and supervision.

On top of all packages: `streamkey` (what a stream is called), `ids`, `errors` (what rooms share),
`clock` and `backoff` (time), `logs`, `metrics` and
`metrics_page` (docs/metrics.md).
"""
