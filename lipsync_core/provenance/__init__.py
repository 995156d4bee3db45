"""Where a movie says how it was made: content credentials (C2PA), XMP, and what reads both back."""
