//! The two things that frames call back: the host's side of a frame, and what its agent is told.

use std::sync::Arc;

use async_trait::async_trait;

use crate::approvals::rules::{Rules, RulesOfFrame};
use crate::broker::{Broker, Client, Reach};
use crate::config::Live;
use crate::config::schema::{Git, TokenSource};
use crate::frames::{AttendError, HostNetworking, SecretsGiven, StartFiles};
use crate::host_ports::{HostPorts, PortError};
use crate::model::agent::ModelRef;
use crate::model::container::ContainerSpec;
use crate::model::frame::Frame;
use crate::model::git::{ForgeHost, FrameForge};
use crate::model::ids::FrameId;
use crate::model::network::LentHost;
use crate::model::port::PortPurpose;
use crate::models::Models;
use crate::redact::Known;
use crate::runtime::Runtime;
use crate::secrets::{ForStart, Vault};

/// Keeps a frame's broker and its two host ports open.
pub struct HostSide {
    /// What frames may reach.
    pub broker: Broker,
    /// How frames are reached from this machine.
    pub ports: HostPorts,
    /// How engines reach them.
    pub runtime: Arc<dyn Runtime>,
}

impl HostSide {
    fn client(&self, frame: &Frame) -> Client {
        self.broker.client(&frame.id, &frame.name, Reach::of(frame))
    }

    fn listen(&self, client: Client) -> Result<(), AttendError> {
        let frame = client.frame.clone();
        let opened = self.broker.open(client, || self.runtime.listen(&frame));
        opened.map_err(|error| AttendError::Other(format!("cannot listen for its requests: {error}")))
    }
}

#[async_trait]
impl HostNetworking for HostSide {
    async fn open(&self, frame: &Frame) -> Result<(), AttendError> {
        self.listen(self.client(frame))?;
        let both = [(PortPurpose::Agent, frame.agent_port), (PortPurpose::Preview, frame.preview_port)];
        for (purpose, port) in both {
            let connector = self.runtime.connector(&frame.id, purpose);
            match self.ports.open(&frame.id, port, purpose, connector).await {
                Ok(()) => {}
                Err(PortError::Busy(_)) => return Err(AttendError::PortBusy(purpose)),
                Err(error @ PortError::Refused { .. }) => return Err(AttendError::Other(error.to_string())),
            }
        }
        Ok(())
    }

    async fn open_broker(&self, spec: &ContainerSpec, allow: &[String]) -> Result<(), AttendError> {
        let forge = FrameForge::default();
        let rules = Reach { network: spec.network, allow, deny: &[], providers: &[], forge: &forge };
        self.listen(self.broker.client(&spec.frame, &spec.name, rules))
    }

    fn rules_changed(&self, frame: &Frame) {
        self.broker.update(self.client(frame));
    }

    fn lend(&self, frame: &FrameId, loan: &LentHost) -> Result<bool, AttendError> {
        self.broker.lend(frame, loan).map_err(|error| AttendError::Other(error.to_string()))
    }

    fn take_back(&self, frame: &FrameId) {
        self.broker.take_back(frame);
    }

    fn lent(&self, frame: &FrameId) -> Vec<LentHost> {
        self.broker.lent(frame)
    }

    async fn close(&self, frame: &FrameId) {
        self.broker.close(frame);
        self.ports.close(frame);
    }

    fn connections(&self, frame: &FrameId) -> usize {
        self.ports.connections(frame)
    }
}

/// Tells agents which models there are.
pub struct AgentFiles {
    /// All providers.
    pub models: Arc<Models>,
    /// For messages that name none.
    pub default_model: ModelRef,
    /// For titles and summaries.
    pub small_model: ModelRef,
    /// What agents ask for.
    pub rules: Rules,
    /// What frames were given of secrets.
    pub vault: Vault,
    /// How they come to forges.
    pub git: Live<Git>,
}

#[async_trait]
impl StartFiles for AgentFiles {
    async fn agent_config(&self, frame: &Frame) -> serde_json::Value {
        let rules = match self.rules.of(&frame.id).await {
            Ok(rules) => rules,
            Err(error) => {
                tracing::error!(frame.id = %frame.id, %error, "frame {}: its rules cannot be read: {error}", frame.name);
                RulesOfFrame::default()
            }
        };
        let granted = self.models.granted(&frame.providers);
        self.models.agent_config(&self.default_model, Some(&self.small_model), &granted, rules.all())
    }

    async fn secrets(&self, frame: &Frame) -> SecretsGiven {
        match self.vault.given(&frame.id).await {
            Ok(ForStart { env, files, missing }) => SecretsGiven { env, files, missing },
            Err(error) => {
                tracing::error!(frame.id = %frame.id, %error, "frame {}: its secrets cannot be read: {error}", frame.name);
                SecretsGiven::default()
            }
        }
    }

    fn known(&self) -> Known {
        self.vault.known().clone()
    }

    fn forges(&self) -> Vec<ForgeHost> {
        let mut forges: Vec<ForgeHost> = self.git.now().hosts.clone();
        let known =
            ForgeHost::known().filter(|known| forges.iter().all(|it| it.authority != known.authority));
        let known: Vec<ForgeHost> = known.collect();
        forges.extend(known);
        forges
    }

    fn opens(&self, forge: &ForgeHost) -> bool {
        let git = self.git.now();
        let entry = git.credentials.iter().find(|entry| entry.host.authority == forge.authority);
        entry.is_some_and(|entry| entry.source != TokenSource::Here(None))
    }

    fn branches(&self) -> Vec<String> {
        self.git.now().branches.clone()
    }

    fn providers(&self) -> Vec<String> {
        self.models.providers().map(|provider| provider.name.clone()).collect()
    }
}
