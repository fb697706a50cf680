"""What the doors share: tensors on the wire, the server's documents, and Triton's extensions."""
