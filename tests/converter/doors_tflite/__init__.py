"""The TFLite door."""
