//! Messages to frames, answers back.
