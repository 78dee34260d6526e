"""The service on Kubernetes: the manifests, and what is checked before a cluster sees them."""
