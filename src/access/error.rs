//! What can go wrong with tokens, sorted by what the caller can do next.

use crate::model::names::TokenName;
use crate::model::scope::Scopes;
use crate::store::StoreError;

/// A token that could not be made or taken back.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// There is no such token, or it was taken back already.
    #[error("there is no token {0} that could be taken back")]
    NotFound(String),
    /// It means something else already.
    #[error("`{0}` cannot be a token's name: it means something else here")]
    Reserved(TokenName),
    /// A token that may do nothing.
    #[error("a token needs at least one scope")]
    NoScope,
    /// A token for no frame at all.
    #[error("a token for some frames alone needs at least one of them")]
    NoFrame,
    /// It would never open anything.
    #[error("a token cannot end before it begins")]
    AlreadyOver,
    /// Nobody can give what they do not have.
    #[error("nobody can give more than they have: you may {own}")]
    MoreThanOwn {
        /// What the caller has.
        own: Scopes,
    },
    /// A link that was opened already, whose minute is over, whose maker may do nothing any more, or that never was.
    #[error("this link opens nothing: each opens once, within a minute")]
    NoCode,
    /// Whoever asks for a link was admitted by a token that is over by now.
    #[error("the token {0} is over")]
    MakerIsOver(String),
    /// Too easily guessed.
    #[error("this is no good password: {0}")]
    WeakPassword(&'static str),
    /// A second factor without a first one, or the end of what never began.
    #[error("no password is set")]
    NoPassword,
    /// There is none.
    #[error("no code is asked for besides the password")]
    NoSecondFactor,
    /// Nobody was shown a secret lately that this code could be of.
    #[error("no app waits to be confirmed: each is shown for ten minutes")]
    NotEnrolling,
    /// The app has another secret, or another time.
    #[error("this is not the code that the app shows now")]
    WrongCode,
    /// One of the two, and nobody is told which.
    #[error("wrong password or code")]
    WrongLogin,
    /// Whoever is there tried too often just now.
    #[error("too many attempts: the next one is looked at in {seconds} s")]
    TooSoon {
        /// For how long to wait.
        seconds: u64,
    },
    /// A password or a secret that cannot be worked with.
    #[error("a secret could not be computed: {0}")]
    NotHashed(String),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Somebody who brought a secret that opens nothing.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// Nobody knows it.
    #[error("this token is not known here")]
    Unknown,
    /// Its time is over.
    #[error("the token {name} has expired")]
    Expired {
        /// Whose.
        name: String,
        /// Since when (UTC ms).
        at: u64,
    },
    /// It was taken back.
    #[error("the token {name} was revoked")]
    Revoked {
        /// Whose.
        name: String,
    },
    /// The home's own token, from another machine.
    #[error("the home's own token opens nothing from another machine")]
    HomeFromAfar,
    /// From there nothing but wrong ones came lately.
    #[error("too many refused attempts from this address")]
    TooMany {
        /// Until they are looked at again.
        seconds: u64,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}
