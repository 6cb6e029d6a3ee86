"""The demo: trains small encoders on tweets or digits and shows what their attention does."""
