//! Commands that run inside for somebody outside, and end with them.

use std::sync::Arc;

use super::{Inner, Visit, VisitorKind};
use crate::model::ids::FrameId;
use crate::runtime::ExecSpec;

/// A command that runs inside for somebody outside. Dropping it before [`Guest::ended`] was called ends the command
/// with everything it started: the engine would leave all of it running.
pub struct Guest {
    inner: Arc<Inner>,
    frame: FrameId,
    /// In the environment of the command, and so of everything it starts.
    mark: String,
    has_ended: bool,
    _visit: Visit,
}

impl Guest {
    /// Marks the command. Made before it runs, so that it is ended even if its caller is dropped in between.
    pub(super) fn mark(
        inner: &Arc<Inner>,
        frame: &FrameId,
        command: &mut ExecSpec,
        kind: VisitorKind,
    ) -> Self {
        let mark = hex::encode(crate::clock::entropy::<8>());
        command.env.push((MARK.to_owned(), mark.clone()));
        let visit = inner.visitors.enter(frame, kind);
        Self { inner: inner.clone(), frame: frame.clone(), mark, has_ended: false, _visit: visit }
    }

    /// The command ended by itself. What it left running in the background stays, as it would anywhere.
    pub fn ended(&mut self) {
        self.has_ended = true;
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let (inner, frame, mark) = (self.inner.clone(), self.frame.clone(), self.mark.clone());
        self.inner.deps.tasks.spawn_once(format!("end a command in {frame}"), move |_| async move {
            let command = ExecSpec::new(["sh", "-c", END_MARKED, mark.as_str()]);
            // A frame that is gone has nothing to end.
            if let Err(error) = inner.deps.runtime.exec(&frame, command).await {
                tracing::debug!(frame.id = %frame, %error, "a command in frame {frame} may go on: {error}");
            }
        });
    }
}

/// The variable by which the processes of one command are found again.
const MARK: &str = "MIMIR_COMMAND";
/// Ends every process with the mark `$0` in its environment: asks first, and kills after two seconds.
const END_MARKED: &str = r#"
marked() { grep -lszxF "MIMIR_COMMAND=$0" /proc/[0-9]*/environ | cut -d/ -f3; }
for signal in HUP TERM; do kill -s $signal $(marked) 2>/dev/null; done
for _ in 1 2 3 4 5 6 7 8 9 10; do
    [ -n "$(marked)" ] || exit 0
    sleep 0.2
done
kill -s KILL $(marked) 2>/dev/null
exit 0
"#;
