//! The database: keys, crashes, migrations.
