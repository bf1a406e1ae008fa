"""Preprocessing tools: text in, `.bin/.idx` out.  Imports no torch and no megatron."""
