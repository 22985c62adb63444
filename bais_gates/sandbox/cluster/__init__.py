"""A Kubernetes cluster in small: an API server, controllers and a node agent. It imports nothing of ours."""
