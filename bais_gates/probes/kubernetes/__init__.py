"""Read a Kubernetes cluster, with one named context of a kubeconfig; only ``writer`` may change it."""
