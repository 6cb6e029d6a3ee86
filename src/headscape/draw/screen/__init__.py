"""What the viewer shows, on paper: the same edges, places, camera and looks, worked out from the trace."""
