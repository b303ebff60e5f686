"""U-GAT-IT networks, style files and the engines that run them."""
