"""Where threads are kept: one contract (``base``), several stores."""
