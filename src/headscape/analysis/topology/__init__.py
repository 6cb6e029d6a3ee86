"""Topology of attention: components, cycles and how long they last, on the graph of each head's tokens."""
