"""One page about what each head of a model is for, as small panels side by side."""
