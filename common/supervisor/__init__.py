"""Keeps the worker processes of a node alive, and puts a node together.

Reading order: `app` (what a role is to it), `node` (the parts), `generation` and `crew` (what is
wanted of workers, without a clock or processes), `arbiter` (carries that out) on `worker_process`;
in the process itself `worker`, `vitals`; between them `channel` and `messages`. Then `reload`,
`reporter` with `load`, `launcher`, `identity`, `rtmp_port`, `relay_port`, `runtime_dir`, `fdlimit`,
`python_module`, `exit_codes`.
"""
