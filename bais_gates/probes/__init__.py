"""Read what gates judge: one module per protocol. Probes know neither pytest nor the verdict."""
