"""One file for each family of TFLite operators."""
