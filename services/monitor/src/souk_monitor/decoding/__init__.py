"""From what reporters send to events, and back."""
