"""The gRPC door: the Open Inference Protocol over a small unary HTTP/2 server of our own."""
