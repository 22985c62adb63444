"""Starting the sandbox's Kubernetes cluster: its API server, and the objects in it."""
