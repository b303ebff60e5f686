"""Live pictures: read, restyled without looking ahead, shown and recorded."""
