"""The life of a model beside its requests: loading, memory, isolation, comparison."""
