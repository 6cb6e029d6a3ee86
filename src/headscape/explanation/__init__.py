"""One page on one model and some inputs: what each head is for."""
