//! The opencode client, delivery and intake against a scripted agent.
