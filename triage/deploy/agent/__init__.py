"""The agent beside the service: image, manifests, and what they must keep to."""
