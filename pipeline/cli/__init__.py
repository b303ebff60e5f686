"""The commands of this room. They parse, call and print; the work is done elsewhere."""
