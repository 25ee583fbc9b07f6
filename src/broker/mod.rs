//! What a frame may reach: models and allowed hosts.
