"""Check alerting and recording rules as Prometheus reads them, without its own tools."""
