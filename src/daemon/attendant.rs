//! The two things that frames call back: the host's side of a frame, and what its agent is told.

use std::sync::Arc;

use async_trait::async_trait;

use crate::approvals::rules::{Rules, RulesOfFrame};
use crate::broker::{Broker, Client};
use crate::frames::{AttendError, HostNetworking, StartFiles};
use crate::host_ports::{HostPorts, PortError};
use crate::model::agent::ModelRef;
use crate::model::container::ContainerSpec;
use crate::model::frame::Frame;
use crate::model::ids::FrameId;
use crate::model::port::PortPurpose;
use crate::models::Models;
use crate::runtime::Runtime;

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
    fn listen(&self, client: Client) -> Result<(), AttendError> {
        let frame = client.frame.clone();
        let opened = self.broker.open(client, || self.runtime.listen(&frame));
        opened.map_err(|error| AttendError::Other(format!("cannot listen for its requests: {error}")))
    }
}

#[async_trait]
impl HostNetworking for HostSide {
    async fn open(&self, frame: &Frame) -> Result<(), AttendError> {
        self.listen(self.broker.client(&frame.id, &frame.name, frame.network, &frame.allow))?;
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
        self.listen(self.broker.client(&spec.frame, &spec.name, spec.network, allow))
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
        self.models.agent_config(&self.default_model, Some(&self.small_model), rules.all())
    }
}
