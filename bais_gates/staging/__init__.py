"""Staging: the platform provisioned for real in a namespace of its own, looked at, and taken away again.

``plan`` sorts the manifests into steps, ``provision`` brings them about through ``applying`` and ``waiting``;
``readiness`` and ``pods`` judge objects, ``diagnosis`` says why one failed, ``teardown`` takes all away.
``ownership`` holds the rule above all others: a namespace that staging did not make is never touched.
"""
