"""What a run needs, computed from its recipe: no model or data is loaded, and torch is not imported."""
