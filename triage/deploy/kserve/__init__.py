"""The assistant as KServe serves it: one manifest, and KServe's own schema to hold it against."""
