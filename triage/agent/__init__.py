"""The desk's assistant: a small language model that calls tools, and what serving one takes."""
