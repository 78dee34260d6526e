"""The judge: it runs notebooks and says what it saw."""
