"""Tables made from records: published, measured and simulated side by side."""
