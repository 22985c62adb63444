"""A small Kubernetes API server over HTTPS, for machines without a cluster.

It is a stand-in for kube-apiserver and says so (``/version`` carries ``+bais-gates``): it keeps everything in
memory, serves the kinds that the manifests and the gates use to unmodified clients, and answers as the real
server answers. Controllers and the node agent are clients of it, so that they run against a real one as well.
``python -m bais_gates.sandbox.cluster.apiserver CONFIG.json`` starts it.
"""
