//! Frames that stand for an opencode server which runs elsewhere: connecting, watching and forgetting it.
//!
//! ```text
//! created ─► starting ─► running     it answers as an agent that we work with
//!                ▲          │
//!                └ stopped ◄┘        it does not; asked again for as long as the frame is there
//! ```
//!
//! Nothing is ever started, stopped or changed there: somebody else does that.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use super::driver::Driver;
use super::error::FrameError;
use super::{AgentAccess, Frames, provision};
use crate::clock::entropy_128;
use crate::model::frame::{Desired, EngineKind, Frame, FrameEvent, FrameState};
use crate::model::ids::FrameId;
use crate::model::names::FrameName;
use crate::model::principal::Principal;
use crate::opencode::{Health, OpencodeClient, OpencodeError};
use crate::runtime::external::{External, Server};
use crate::store::external_servers::{self, ExternalServer};
use crate::store::{Store, StoreError, frames};
use crate::supervisor::keyed::Next;

/// How long a server may take to say that it is one.
const HEALTH: Duration = Duration::from_secs(5);
/// How long it may take to answer everything that is asked of an unknown release.
const AGREEMENT: Duration = Duration::from_secs(15);
/// So many tries in a row without an answer, and it is away.
const TRIES: u32 = 2;

/// A server to be connected.
#[derive(Clone, Debug)]
pub struct NewServer {
    /// What people will call it.
    pub name: FrameName,
    /// Where it is and who we are to it.
    pub server: Server,
    /// The project's folder on this machine, if there is one.
    pub workspace: Option<PathBuf>,
}

impl Frames {
    /// Makes a frame of a server that runs elsewhere. Asks it first: what does not answer as an agent is not kept.
    ///
    /// # Errors
    /// [`FrameError::NameTaken`], [`FrameError::Server`], [`FrameError::Invalid`].
    pub async fn connect(&self, principal: &Principal, new: NewServer) -> Result<Frame, FrameError> {
        let (frames, principal) = (self.clone(), principal.clone());
        let task = format!("connect frame {}", new.name);
        let work = async move { frames.connect_now(principal, new).await };
        self.inner.deps.tasks.run_to_end(task, work).await.unwrap_or(Err(FrameError::Interrupted))
    }

    async fn connect_now(&self, principal: Principal, new: NewServer) -> Result<Frame, FrameError> {
        let deps = &self.inner.deps;
        let NewServer { name, server, workspace } = new;
        if workspace.as_ref().is_some_and(|path| !path.is_absolute() || !path.is_dir()) {
            return Err(provision::invalid("workspace", "name an absolute path of a folder, or none".into()));
        }
        let wanted = name.clone();
        if deps.store.read(move |db| frames::find_by_name(db, &wanted)).await?.is_some() {
            return Err(FrameError::NameTaken(name.to_string()));
        }
        let known = deps.start_files.known();
        let access = AgentAccess::new(server.connector(), server.credentials.clone(), known);
        let health = meet(&access.client()).await.map_err(|error| FrameError::Server {
            url: server.address().to_owned(),
            why: in_words(&error, server.credentials.password.is_some()),
        })?;
        let id = FrameId::from_parts(deps.clock.now_ms(), entropy_128());
        let row = ExternalServer {
            frame: id.clone(),
            url: server.address().to_owned(),
            user: server.credentials.user.clone(),
            password: server.credentials.password.clone(),
            version: health.version,
        };
        // Known before its row is: whoever reads the row finds the server.
        deps.external.set(&id, server);
        self.inner.failpoints.hit("connect.before_row").await;
        let folder = workspace.map(|path| path.display().to_string()).unwrap_or_default();
        let written = deps.store.write(move |tx| {
            let frame = external_servers::insert(tx, &name, &folder, &row)?;
            let detail = json!({ "frame": frame.id, "url": row.url });
            tx.audit(&principal, "frame.connect", frame.name.as_str(), &detail)?;
            Ok(frame)
        });
        let frame = written.await.map_err(|error| {
            deps.external.forget(&id);
            match error {
                StoreError::Taken { value, .. } => FrameError::NameTaken(value),
                other => other.into(),
            }
        })?;
        self.inner.failpoints.hit("connect.after_row").await;
        self.inner.wake_driver(&frame.id);
        Ok(frame)
    }

    /// Forgets a server that runs elsewhere, with everything that is kept of its frame. The server is left alone.
    ///
    /// # Errors
    /// [`FrameError::NotFound`]; [`FrameError::NotConnected`] for a frame with a container.
    pub async fn disconnect(&self, principal: &Principal, name: &FrameName) -> Result<Frame, FrameError> {
        let frame = self.get(name).await?;
        if frame.engine != EngineKind::External {
            return Err(FrameError::NotConnected(name.to_string()));
        }
        self.destroy_connected(principal, name).await
    }

    /// Whether the frame stands for a server that runs elsewhere.
    #[must_use]
    pub fn is_external(&self, frame: &FrameId) -> bool {
        self.inner.deps.external.has(frame)
    }
}

/// The servers that frames stand for, as the rows say.
///
/// # Errors
/// Only the database's.
pub async fn known_servers(store: &Store) -> Result<External, StoreError> {
    let external = External::default();
    for row in store.read(|db| external_servers::list(db)).await? {
        match Server::parse(&row.url, row.password) {
            Ok(mut server) => {
                server.credentials.user = row.user;
                external.set(&row.frame, server);
            }
            Err(error) => tracing::error!(frame.id = %row.frame, "{} leads to no server: {error}", row.url),
        }
    }
    Ok(external)
}

/// Asks a server whether it is an agent that we work with.
async fn meet(client: &OpencodeClient) -> Result<Health, OpencodeError> {
    let health = client.health(HEALTH).await?;
    client.agree(&health, AGREEMENT).await?;
    Ok(health)
}

/// What is wrong with a server, as a sentence without a full stop.
fn in_words(error: &OpencodeError, has_password: bool) -> String {
    match error {
        OpencodeError::Unreachable { source, .. } if source.kind() == std::io::ErrorKind::TimedOut => {
            "nobody takes the connection there".to_owned()
        }
        OpencodeError::Unreachable { source, .. } => format!("it cannot be reached: {source}"),
        OpencodeError::Silent { waited, .. } => {
            format!("it takes the connection and does not answer within {} s", waited.as_secs())
        }
        OpencodeError::WrongPassword if has_password => "it refuses the password".to_owned(),
        OpencodeError::WrongPassword => "it asks for a password".to_owned(),
        OpencodeError::Refused { status: status @ 300..400, .. } => {
            format!("it sends us elsewhere ({status}): name the address that it leads to")
        }
        OpencodeError::WrongVersion { found, why } => {
            format!("it is opencode {found}, which this mimir does not work with: {why}")
        }
        OpencodeError::BrokenOff { why, .. } => format!("it broke off ({why}): is it http:// or https://?"),
        OpencodeError::NotFound { .. } | OpencodeError::Refused { .. } | OpencodeError::Unreadable { .. } => {
            format!("it is not an opencode server: {error}")
        }
    }
}

impl Driver {
    /// One look at a server that runs elsewhere: records whether it answers, and nothing else.
    pub(super) async fn watch_server(&mut self, frame: &Frame) -> Result<Next, FrameError> {
        if frame.desired == Desired::Removed {
            let next = self.forget().await?;
            self.inner.deps.external.forget(&self.id);
            return Ok(next);
        }
        let pause = self.inner.deps.settings.tick / 2;
        let Some(access) = self.inner.access(&self.id).await? else {
            self.show("its server is not known");
            return Ok(Next::after(pause));
        };
        let asked = Instant::now();
        let has_password = access.authorization.is_some();
        let runs = frame.state == FrameState::Running;
        let client = access.client();
        // One that runs was met before; how it is reached may have changed hands only while it was away.
        let answer = if runs { client.health(HEALTH).await.map(drop) } else { meet(&client).await.map(drop) };
        match answer {
            Ok(()) => {
                if !runs {
                    self.server_is_back(frame).await?;
                    return Ok(Next::Again);
                }
                self.forget_unresponsive();
                self.settled(frame);
                Ok(Next::after(pause))
            }
            Err(error) => {
                let first = *self.memory.unresponsive_since.get_or_insert(asked);
                self.memory.unresponsive.failures += 1;
                let why = in_words(&error, has_password);
                let speaks = self.handle.output_after(first).is_some() && error.is_passing();
                if runs && (speaks || self.memory.unresponsive.failures < TRIES) {
                    return Ok(Next::after(pause / 4));
                }
                self.show(format!("its server does not answer: {why}"));
                self.server_is_away(frame, &why).await?;
                Ok(Next::after(pause))
            }
        }
    }

    async fn server_is_back(&mut self, frame: &Frame) -> Result<(), FrameError> {
        let (id, state) = (self.id.clone(), frame.state);
        let write = self.inner.deps.store.write_as::<_, FrameError, _>(move |tx| {
            if state != FrameState::Starting {
                frames::apply(tx, &id, FrameEvent::StartRequested, None)?;
            }
            frames::apply(tx, &id, FrameEvent::BecameReady, None)?;
            Ok(())
        });
        write.await?;
        self.forget_unresponsive();
        tracing::info!(frame.id = %self.id, "frame {}: its server answers", frame.name);
        Ok(())
    }

    async fn server_is_away(&mut self, frame: &Frame, why: &str) -> Result<(), FrameError> {
        let reason = format!("its server does not answer: {why}");
        match frame.state {
            FrameState::Running | FrameState::Starting => {
                tracing::warn!(frame.id = %self.id, "frame {}: {reason}", frame.name);
                self.record(FrameEvent::StopConfirmed, Some(reason)).await
            }
            _ if frame.reason.as_deref() == Some(&reason) => Ok(()),
            _ => {
                let id = self.id.clone();
                let write = self.inner.deps.store.write(move |tx| frames::set_reason(tx, &id, Some(&reason)));
                Ok(write.await?)
            }
        }
    }
}
