"""Ask a Kubernetes cluster, with one named context of a kubeconfig; reading only, but for the writer."""
