"""Other converters and quantizers beside ours, each in a process of its own."""
