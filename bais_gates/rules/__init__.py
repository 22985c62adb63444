"""Judge what probes read, with pure functions: no I/O, no pytest. Each rule names its source."""
