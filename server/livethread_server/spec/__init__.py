"""The documents that describe both doors, made from the structs and operations that the doors themselves use."""
