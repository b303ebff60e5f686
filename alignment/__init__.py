"""Where the faces are: detection, landmarks, aligned crops, tracks."""
