"""What is judged: environment files, the target that they describe, and the cluster that it runs in."""
