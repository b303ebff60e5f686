"""Restyle the faces of one video, picture or folder: probe, analyse, render, mux, verify, publish."""
