"""The learner's manifests: read, held against the schema, and run as a kubelet would run them.

`podman kube play` would give a stranger's manifest the host's folders, networks and privileges. Here what a
manifest asks for is translated into a confined container, one field after another, and what is not known is
refused with a sentence. So it works with docker, too.
"""
