"""The node agent of the sandbox's cluster: what a kubelet is elsewhere, with the sandbox's own runtime below.

``python -m bais_gates.sandbox.cluster.node CONFIG.json`` runs it and the controllers in one process. Pods of
the few images that the sandbox knows become real processes; Service names in their settings become loopback
addresses. ``runtime_client`` is the protocol with which it asks the container runtime.
"""
