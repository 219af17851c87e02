"""The livethread server: threads that live on the server, with a live llama.cpp context behind them."""
