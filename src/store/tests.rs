//! What needs a look inside: schemas of another time, a full disk, a writer that hangs.
