//! How an event stream goes wrong, and answers that are errors.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, iter, once, pending};

use super::ScriptedAgent;

/// How events come to whoever listens from now on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wire {
    /// One by one.
    #[default]
    Whole,
    /// Byte by byte, with a pause behind each.
    Drip(Duration),
    /// Not at all: the answer begins, and nothing follows for ever.
    HeadOnly,
    /// With half of one when the connection breaks.
    HalfAtTheCut,
}

impl Wire {
    /// What is sent of `events`, which end with the connection.
    pub(super) fn bytes(self, events: BoxStream<'static, Bytes>) -> BoxStream<'static, Bytes> {
        match self {
            Self::Whole => events,
            Self::Drip(pause) => events
                .flat_map(|event| iter(event.to_vec()))
                .then(move |byte| async move {
                    tokio::time::sleep(pause).await;
                    Bytes::copy_from_slice(&[byte])
                })
                .boxed(),
            Self::HeadOnly => pending().boxed(),
            Self::HalfAtTheCut => {
                let half = r#"data: {"id":"evt_half","type":"message.part.delta","properties":{"delta":"hal"#;
                events.chain(once(async move { Bytes::from_static(half.as_bytes()) })).boxed()
            }
        }
    }
}

impl ScriptedAgent {
    /// How events come over connections that begin from now on.
    pub fn wire(&self, wire: Wire) {
        self.state().wire = wire;
    }

    /// How often somebody asked for events.
    pub fn streams_asked(&self) -> usize {
        self.state().streams_asked
    }

    /// Whether asking for what was said is answered with that error from now on.
    pub fn fail_reads(&self, status: Option<u16>) {
        self.state().reads_fail = status;
    }

    /// How often that was answered so.
    pub fn failed_reads(&self) -> usize {
        self.state().failed_reads
    }

    pub(super) fn failed_read(&self) -> Option<u16> {
        let mut state = self.state();
        let status = state.reads_fail?;
        state.failed_reads += 1;
        Some(status)
    }
}
