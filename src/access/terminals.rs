//! Ways to a frame's terminal for clients that can put no token on a WebSocket: tickets and shared links.
//!
//! A browser sends no header of the page's with a WebSocket, and its cookie is half of a session. So whoever may use a terminal
//! asks for a ticket, in a request that is checked like all others, and sends it as the first message: it opens one
//! connection, within half a minute. A shared link opens any number of them until it is over or taken back, and each can only
//! look. Both are kept as hashes, in memory: a gateway that starts anew knows none of them, and the owner makes others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio_util::sync::CancellationToken;

use super::{Access, Denied};
use crate::clock;
use crate::model::ids::FrameId;
use crate::model::names::FrameName;
use crate::model::principal::Principal;
use crate::model::secret::Secret;
use crate::store::{StoreError, frames};

/// So long a ticket opens something.
const TICKET_MS: u64 = 30_000;
/// So many tickets are open at once; the oldest gives way.
const TICKETS: usize = 256;
/// So many shared links there are at once.
const SHARES: usize = 64;
/// So many look through one of them at once: each has a client of its own inside the frame.
const LOOKERS: usize = 32;
/// What the secret of a shared link begins with.
const SHARE_PREFIX: &str = "mimshr_";

/// What a connection to a terminal may do.
#[derive(Clone, Debug)]
pub struct TerminalPass {
    /// Who answers for it.
    pub by: Principal,
    /// With the terminal of this frame.
    pub frame: FrameId,
    /// Only this window.
    pub window: Option<String>,
    /// Look, do not touch.
    pub read_only: bool,
    /// From then on nothing (UTC ms).
    pub expires_at: Option<u64>,
    /// Cancelled when whoever made it may do so no more, or took it back.
    pub ended: CancellationToken,
    /// The places of all who have this pass, where there are only so many.
    pub places: Option<Arc<Semaphore>>,
}

impl TerminalPass {
    /// Takes a place among those who have the same pass, until it is dropped.
    ///
    /// # Errors
    /// All are taken.
    pub fn take_place(&self) -> Result<Option<OwnedSemaphorePermit>, TryAcquireError> {
        self.places.clone().map(Semaphore::try_acquire_owned).transpose()
    }
}

/// A link to look at a terminal.
#[derive(Clone, Debug)]
pub struct TerminalShare {
    /// For taking it back.
    pub id: String,
    /// The frame, as it was called.
    pub name: FrameName,
    /// What it lets its holder do.
    pub pass: TerminalPass,
    /// UTC ms.
    pub created_at: u64,
    /// From then on it shows nothing (UTC ms).
    pub expires_at: u64,
}

impl TerminalShare {
    fn is_open(&self, now_ms: u64) -> bool {
        self.expires_at > now_ms && !self.pass.ended.is_cancelled()
    }
}

/// A link that could not be made or taken back.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// Some must be taken back first.
    #[error("there are {SHARES} shared links already")]
    TooMany,
    /// There is none of that id, or it is over.
    #[error("there is no shared link {0}")]
    NotFound(String),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Access {
    /// Makes a ticket, and says until when it opens something.
    #[must_use]
    pub fn make_terminal_ticket(&self, pass: TerminalPass) -> (Secret, u64) {
        self.inner.terminals.make_ticket(pass, self.inner.clock.now_ms())
    }

    /// What somebody may do who brings a ticket or the secret of a shared link. A ticket is worth nothing afterwards.
    pub async fn enter_terminal(&self, brought: &str, from: Option<IpAddr>) -> Option<TerminalPass> {
        let found = self.inner.terminals.enter(brought, self.inner.clock.now_ms());
        if let (None, Some(from)) = (&found, from) {
            // Counted and written down like a wrong token.
            self.refused(from, "a terminal's ticket that opens nothing", Denied::Unknown).await;
        }
        found
    }

    /// Makes a link with which others look at a terminal until `expires_at`. `pass` says whose and which window.
    ///
    /// # Errors
    /// [`ShareError::TooMany`].
    pub async fn share_terminal(
        &self,
        name: &FrameName,
        pass: TerminalPass,
        expires_at: u64,
    ) -> Result<(TerminalShare, Secret), ShareError> {
        let now = self.inner.clock.now_ms();
        if self.inner.terminals.is_full(now) {
            self.end_shares_of_removed_frames().await?;
            if self.inner.terminals.is_full(now) {
                return Err(ShareError::TooMany);
            }
        }
        let share = TerminalShare {
            id: format!("share-{}", hex::encode(clock::entropy::<6>())),
            name: name.clone(),
            pass: TerminalPass {
                read_only: true,
                expires_at: Some(expires_at),
                // It ends with whoever made it, and alone when it is taken back.
                ended: pass.ended.child_token(),
                places: Some(Arc::new(Semaphore::new(LOOKERS))),
                ..pass
            },
            created_at: now,
            expires_at,
        };
        self.audit_share(&share.pass.by, "terminal.share", &share).await?;
        let secret = self.inner.terminals.add(share.clone());
        Ok((share, secret))
    }

    /// The links that show a frame's terminal now, the oldest first.
    #[must_use]
    pub fn terminal_shares(&self, frame: &FrameId) -> Vec<TerminalShare> {
        self.inner.terminals.shares_of(frame, self.inner.clock.now_ms())
    }

    /// Takes a link back; whoever looks through it sees nothing more.
    ///
    /// # Errors
    /// [`ShareError::NotFound`] also for one that is over.
    pub async fn end_terminal_share(
        &self,
        by: &Principal,
        frame: &FrameId,
        id: &str,
    ) -> Result<TerminalShare, ShareError> {
        let found = self.terminal_shares(frame).into_iter().find(|share| share.id == id);
        let share = found.ok_or_else(|| ShareError::NotFound(id.to_owned()))?;
        self.audit_share(by, "terminal.unshare", &share).await?;
        self.inner.terminals.remove(&share.id);
        share.pass.ended.cancel();
        Ok(share)
    }

    /// Nobody can take those back: there is no frame of which they are asked for.
    async fn end_shares_of_removed_frames(&self) -> Result<(), StoreError> {
        let shared = self.inner.terminals.shared_frames();
        let removed = self.inner.store.read(move |db| {
            let mut removed = Vec::new();
            for id in shared {
                if frames::find(db, &id)?.is_none() {
                    removed.push(id);
                }
            }
            Ok(removed)
        });
        self.inner.terminals.end_shares_of(&removed.await?);
        Ok(())
    }

    async fn audit_share(
        &self,
        by: &Principal,
        action: &'static str,
        share: &TerminalShare,
    ) -> Result<(), StoreError> {
        let detail = json!({ "id": share.id, "window": share.pass.window, "expires_at": share.expires_at });
        let (by, name) = (by.clone(), share.name.clone());
        self.inner.store.write(move |tx| tx.audit(&by, action, name.as_str(), &detail)).await
    }
}

/// Tickets and shared links that are open, by the hash of their secret.
#[derive(Default)]
pub(super) struct TerminalDoors {
    tickets: Mutex<HashMap<[u8; 32], OpenTicket>>,
    shares: Mutex<HashMap<[u8; 32], TerminalShare>>,
}

struct OpenTicket {
    pass: TerminalPass,
    until: u64,
}

impl TerminalDoors {
    fn make_ticket(&self, pass: TerminalPass, now_ms: u64) -> (Secret, u64) {
        let ticket = Secret::new(hex::encode(clock::entropy::<32>()));
        let until = now_ms.saturating_add(TICKET_MS);
        let mut open = self.tickets.lock();
        open.retain(|_, ticket| ticket.until > now_ms);
        if open.len() >= TICKETS
            && let Some(oldest) = open.iter().min_by_key(|(_, ticket)| ticket.until).map(|(hash, _)| *hash)
        {
            open.remove(&oldest);
        }
        open.insert(super::hash(ticket.reveal()), OpenTicket { pass, until });
        (ticket, until)
    }

    fn enter(&self, brought: &str, now_ms: u64) -> Option<TerminalPass> {
        let hash = super::hash(brought);
        if brought.starts_with(SHARE_PREFIX) {
            let shares = self.shares.lock();
            return shares.get(&hash).filter(|share| share.is_open(now_ms)).map(|share| share.pass.clone());
        }
        let ticket = self.tickets.lock().remove(&hash)?;
        // Whoever lost the right since has no ticket either.
        (ticket.until > now_ms && !ticket.pass.ended.is_cancelled()).then_some(ticket.pass)
    }

    fn is_full(&self, now_ms: u64) -> bool {
        let mut shares = self.shares.lock();
        shares.retain(|_, share| share.is_open(now_ms));
        shares.len() >= SHARES
    }

    fn add(&self, share: TerminalShare) -> Secret {
        let secret = Secret::new(format!("{SHARE_PREFIX}{}", hex::encode(clock::entropy::<32>())));
        self.shares.lock().insert(super::hash(secret.reveal()), share);
        secret
    }

    fn shares_of(&self, frame: &FrameId, now_ms: u64) -> Vec<TerminalShare> {
        let shares = self.shares.lock();
        let of_frame = shares.values().filter(|share| share.pass.frame == *frame && share.is_open(now_ms));
        let mut found: Vec<TerminalShare> = of_frame.cloned().collect();
        found.sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
        found
    }

    fn shared_frames(&self) -> Vec<FrameId> {
        self.shares.lock().values().map(|share| share.pass.frame.clone()).collect()
    }

    fn end_shares_of(&self, frames: &[FrameId]) {
        self.shares.lock().retain(|_, share| {
            let is_over = frames.contains(&share.pass.frame);
            if is_over {
                share.pass.ended.cancel();
            }
            !is_over
        });
    }

    fn remove(&self, id: &str) {
        self.shares.lock().retain(|_, share| share.id != id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass() -> TerminalPass {
        TerminalPass {
            by: Principal::Owner { uid: 1000 },
            frame: FrameId::from_parts(1_000, 1),
            window: None,
            read_only: false,
            expires_at: None,
            ended: CancellationToken::new(),
            places: None,
        }
    }

    fn share(until: u64) -> TerminalShare {
        let name = FrameName::parse("blog").expect("a name");
        let id = format!("share-{until}");
        TerminalShare { id, name, pass: pass(), created_at: 1_000, expires_at: until }
    }

    #[test]
    fn a_ticket_opens_once_and_for_half_a_minute() {
        let doors = TerminalDoors::default();
        let (ticket, until) = doors.make_ticket(pass(), 1_000);
        assert_eq!((ticket.reveal().len(), until), (64, 31_000));
        assert!(doors.enter("", 1_000).is_none() && doors.enter(&"0".repeat(64), 1_000).is_none());
        assert!(doors.enter(ticket.reveal(), 30_999).is_some());
        assert!(doors.enter(ticket.reveal(), 30_999).is_none(), "once");
        let (late, _) = doors.make_ticket(pass(), 1_000);
        assert!(doors.enter(late.reveal(), 31_000).is_none(), "its time is over");
    }

    #[test]
    fn a_ticket_of_somebody_who_may_no_more_opens_nothing() {
        let doors = TerminalDoors::default();
        let pass = pass();
        let (ticket, _) = doors.make_ticket(pass.clone(), 1_000);
        pass.ended.cancel();
        assert!(doors.enter(ticket.reveal(), 1_000).is_none());
    }

    #[test]
    fn tickets_that_nobody_uses_take_no_room() {
        let doors = TerminalDoors::default();
        let made: Vec<Secret> = (0..TICKETS as u64 + 1).map(|at| doors.make_ticket(pass(), at).0).collect();
        assert_eq!(doors.tickets.lock().len(), TICKETS);
        assert!(doors.enter(made[0].reveal(), 300).is_none(), "the oldest gave way");
        assert!(doors.enter(made[TICKETS].reveal(), 300).is_some());
    }

    #[test]
    fn a_shared_link_opens_until_it_is_over_or_taken_back() {
        let doors = TerminalDoors::default();
        let (short, long) = (doors.add(share(5_000)), doors.add(share(9_000)));
        let enters = |secret: &Secret, now| doors.enter(secret.reveal(), now).is_some();
        assert!(enters(&short, 4_999) && enters(&short, 4_999), "as often as one likes");
        assert!(!enters(&short, 5_000) && enters(&long, 5_000));
        assert_eq!(doors.shares_of(&pass().frame, 4_000).len(), 2);
        assert_eq!(doors.shares_of(&FrameId::from_parts(1_000, 2), 4_000).len(), 0, "another frame's");
        doors.remove("share-9000");
        assert!(!enters(&long, 4_000));
    }

    #[test]
    fn there_are_only_so_many_shared_links() {
        let doors = TerminalDoors::default();
        for at in 0..SHARES as u64 {
            assert!(!doors.is_full(0));
            doors.add(share(10_000 + at));
        }
        assert!(doors.is_full(0));
        assert!(!doors.is_full(10_001), "one is over");
    }
}
