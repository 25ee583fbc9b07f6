//! A network between a gateway and its agent that breaks when it is told to.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mimir::frames::{AgentLocator, PlaceError};
use mimir::model::agent::AgentSessionId;
use mimir::model::ids::FrameId;
use mimir::model::secret::Secret;
use mimir::opencode::OpencodeClient;
use mimir::outbound::{BoxedDuplex, Connector};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Leads to an agent over connections that can all be cut at once.
pub struct Cutter {
    agent: Arc<dyn AgentLocator>,
    connector: Box<dyn Fn() -> (Connector, Secret) + Send + Sync>,
    wire: Arc<Mutex<CancellationToken>>,
}

impl Cutter {
    /// `connector` says how the agent is reached and with which password, once it runs.
    pub fn new(
        agent: Arc<dyn AgentLocator>,
        connector: impl Fn() -> (Connector, Secret) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { agent, connector: Box::new(connector), wire: Arc::default() })
    }

    /// Breaks every connection that stands.
    pub fn cut(&self) {
        let mut wire = self.wire.lock();
        std::mem::take(&mut *wire).cancel();
    }

    fn client(&self) -> OpencodeClient {
        let (inner, password) = (self.connector)();
        let wire = self.wire.clone();
        let through = Connector::new("the agent behind a cutter", move || {
            let (inner, wire) = (inner.clone(), wire.lock().clone());
            Box::pin(async move {
                let mut far = inner.connect().await?;
                let (near, mut middle) = tokio::io::duplex(64 * 1024);
                spawn(async move {
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut middle, &mut far) => {}
                        () = wire.cancelled() => {}
                    }
                });
                Ok(Box::pin(near) as BoxedDuplex)
            })
        });
        OpencodeClient::new(through, &password)
    }
}

#[expect(clippy::disallowed_methods, reason = "the wire ends with its connection")]
fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(work);
}

#[async_trait]
impl AgentLocator for Cutter {
    async fn wake(&self, frame: &FrameId, deadline: Duration) -> Result<OpencodeClient, PlaceError> {
        self.agent.wake(frame, deadline).await?;
        Ok(self.client())
    }

    async fn agent(&self, frame: &FrameId) -> Result<OpencodeClient, PlaceError> {
        self.agent.agent(frame).await?;
        Ok(self.client())
    }

    async fn show(&self, frame: &FrameId, session: &AgentSessionId) {
        self.agent.show(frame, session).await;
    }
}
