"""What this book adds to Sphinx, and the tools that read its pages."""
