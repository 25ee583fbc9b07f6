//! The host's git, in repositories that are mimir's own.
//!
//! ```text
//!  <home>/git/home                what git takes for its home: empty
//!  <home>/git/mirrors/<hash>.git  a copy of a repository at a forge; its refs are those of the forge
//!  <home>/git/pushes/<name>.git   what came with one push; the rest of its history is in the mirror
//! ```
//!
//! What lies in them was made by strangers: agents, and whoever writes into a repository. So git runs without the
//! user's and the system's configuration, without hooks, with no other transport than https, checks every object that
//! comes in, has limits of size, memory and time, and ends with everything that it began. It never runs in a folder that
//! an agent can write.
//!
//! Not here: what may be pushed and who decides (see `pushes`), and the frames' side of it (`broker`).

mod contents;
mod credentials;
mod error;
mod forge;
mod inbox;
mod mirrors;
mod news;
pub mod pktline;
mod program;
pub mod receive;
mod serve;

pub use contents::{Ends, Looked, Patches};
pub use credentials::{Credential, CredentialError, Credentials};
pub use error::GitError;
pub use forge::{Pushed, Remote};
pub use inbox::{Inbox, Parcel};
pub use mirrors::{Heads, Mirror, Mirrors};
pub use news::NewsInserter;
pub use program::Git;
pub use serve::{ReadRequest, Served};
