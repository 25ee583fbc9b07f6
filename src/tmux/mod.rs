//! tmux inside a frame.
