"""The service around the rules: it orders payments, makes them durable, answers, and settles on Ethereum."""

__version__ = "0.1.0"
