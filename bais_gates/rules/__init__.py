"""Pure judgements over what probes read: no I/O, no pytest. A rule names the source that it is from."""
