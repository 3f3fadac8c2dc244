"""What a run needs, computed from its recipe: nothing is loaded, nothing is started, torch is not imported."""
