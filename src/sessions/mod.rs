//! Conversations and their history.
