"""Where commands run: contained, or (only if the user says so) bare."""
