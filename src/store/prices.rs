//! Prices that somebody set.

use super::values::{to_sql_int, unsigned};
use super::{Queryable, StoreError, Tx};
use crate::model::usage::{Price, PriceRow};

/// Sets the price of a model.
///
/// # Errors
/// Whatever the database says.
pub fn set(tx: &mut Tx<'_>, row: &PriceRow) -> Result<(), StoreError> {
    tx.change(
        "INSERT INTO prices (provider, model, input, output, cache_read, cache_write, as_of)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (provider, model) DO UPDATE SET
             input = excluded.input, output = excluded.output, cache_read = excluded.cache_read,
             cache_write = excluded.cache_write, as_of = excluded.as_of",
        (
            &row.provider,
            &row.model,
            to_sql_int(row.price.input),
            to_sql_int(row.price.output),
            to_sql_int(row.price.cache_read),
            to_sql_int(row.price.cache_write),
            &row.as_of,
        ),
    )?;
    Ok(())
}

/// All that were set.
///
/// # Errors
/// Whatever the database says.
pub fn list(ask: &impl Queryable) -> Result<Vec<PriceRow>, StoreError> {
    ask.rows("SELECT * FROM prices ORDER BY provider, model", (), |row| {
        let price = Price {
            input: unsigned(row, "input")?,
            output: unsigned(row, "output")?,
            cache_read: unsigned(row, "cache_read")?,
            cache_write: unsigned(row, "cache_write")?,
        };
        let (provider, model) = (row.get("provider")?, row.get("model")?);
        Ok(PriceRow { provider, model, price, as_of: row.get("as_of")?, built_in: false })
    })
}
