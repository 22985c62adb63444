"""What is judged: environment files, the target that they describe, and the clients that it yields."""

from bais_gates.targets.environment import Environment, Limits, load_environment

__all__ = ["Environment", "Limits", "load_environment"]
