"""What a gate can ask, one module a kind. Probes know neither pytest nor the verdict."""
