//! The executable: output, exit codes, errors.
