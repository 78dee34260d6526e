"""Message triage for a support desk: a message in, an intent and a confidence out."""
