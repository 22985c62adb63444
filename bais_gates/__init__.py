"""bais-gates: acceptance tests and go-live checks as pytest gates, and one decision: DEPLOY or BLOCK."""

__version__ = "0.1.0"
