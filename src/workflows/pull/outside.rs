//! What stages make of what forges and error trackers say: who has to do something about it.

use crate::forge::ForgeError;
use crate::sentry::SentryError;
use crate::workflows::stage::StageError;

/// What a stage makes of a forge's word.
pub(super) fn of_forge(error: ForgeError) -> StageError {
    let text = error.to_string();
    match error {
        ForgeError::Auth(why) => StageError::Auth(why),
        ForgeError::RateLimited { until_ms } => StageError::RateLimited { until: until_ms, why: text },
        // What was just made may not be there for everybody yet, and what is too much at the next look is a fact then.
        ForgeError::Unreachable(_)
        | ForgeError::Transient(_)
        | ForgeError::NotFound(_)
        | ForgeError::TooMuch(_) => StageError::Infrastructure(text),
        ForgeError::Refused(_) => StageError::Permanent(text),
    }
}

/// What a stage makes of an error tracker's word.
pub(super) fn of_sentry(error: SentryError) -> StageError {
    let text = error.to_string();
    match error {
        SentryError::Auth(why) => StageError::Auth(why),
        SentryError::RateLimited { until_ms } => StageError::RateLimited { until: until_ms, why: text },
        SentryError::Transient(_) | SentryError::NotFound(_) => StageError::Infrastructure(text),
        SentryError::Refused(_) => StageError::Permanent(text),
    }
}
