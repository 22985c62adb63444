"""The controllers of the sandbox's cluster: elsewhere kube-controller-manager, scheduler and cert-manager.

They are ordinary clients of the Kubernetes API and know nothing of the server behind it: the same ones run
against the sandbox's own API server and against a real kube-apiserver that has no kube-controller-manager.
Each kind has a module with one pure function ``reconcile(world, object, now) -> Plan``: it looks at the
objects that are cached and returns what to write. ``engine`` calls them whenever something changed and
``writer`` carries the plans out.
"""
