//! The heart: make reality match the wish.
