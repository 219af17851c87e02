"""Who somebody is: tokens of our own, or of an issuer that the operator trusts. What they may do is in ``roles``."""
