//! Notes on the desktop, over the freedesktop interface, when there is one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use notify_rust::{Notification, NotificationHandle, Timeout, Urgency};
use parking_lot::Mutex;

/// A desktop that does not answer is not waited for any longer.
const WITHIN: Duration = Duration::from_secs(3);

/// The session bus of whoever runs this process, if there is one.
#[must_use]
pub fn session_bus(env: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    if let Some(address) = env("DBUS_SESSION_BUS_ADDRESS").filter(|text| !text.is_empty()) {
        return Some(address);
    }
    let socket = std::path::Path::new(&env("XDG_RUNTIME_DIR")?).join("bus");
    socket.exists().then(|| format!("unix:path={}", socket.display()))
}

/// Shows notes and takes them away again. The default does nothing.
#[derive(Clone, Default)]
pub(super) struct Desktop {
    is_there: bool,
    shown: Arc<Mutex<HashMap<String, Shown>>>,
}

enum Shown {
    /// It is on its way to the screen.
    Soon,
    /// It is on the screen.
    Now(Box<NotificationHandle>),
    /// It was taken away before it was there.
    NotAnyMore,
}

impl Desktop {
    pub(super) fn new(bus: Option<String>) -> Self {
        Self { is_there: bus.is_some(), shown: Arc::default() }
    }

    /// Shows a note; a later [`Desktop::close`] with the same key takes it away.
    pub(super) fn show(&self, key: &str, title: String, body: String) {
        if !self.is_there || !self.reserve(key) {
            return;
        }
        let (desktop, key) = (self.clone(), key.to_owned());
        spawn(async move {
            let mut note = Notification::new();
            note.appname("mimir").summary(&title).body(&plain(&body)).icon("dialog-question");
            note.urgency(Urgency::Normal).timeout(Timeout::Never);
            let handle = match tokio::time::timeout(WITHIN, note.show_async()).await {
                Ok(Ok(handle)) => Some(handle),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "the desktop was not told: {error}");
                    None
                }
                Err(_) => None,
            };
            if let Some(unwanted) = desktop.keep(key, handle) {
                let _ = tokio::time::timeout(WITHIN, unwanted.close_async()).await;
            }
        });
    }

    /// Takes a note away.
    pub(super) fn close(&self, key: &str) {
        let mut shown = self.shown.lock();
        match shown.remove(key) {
            Some(Shown::Now(handle)) => spawn(async move {
                let _ = tokio::time::timeout(WITHIN, handle.close_async()).await;
            }),
            Some(Shown::Soon | Shown::NotAnyMore) => {
                shown.insert(key.to_owned(), Shown::NotAnyMore);
            }
            None => {}
        }
    }

    fn reserve(&self, key: &str) -> bool {
        let mut shown = self.shown.lock();
        if shown.contains_key(key) {
            return false;
        }
        shown.insert(key.to_owned(), Shown::Soon);
        true
    }

    /// Keeps the handle for the end, or gives it back when the end was earlier.
    fn keep(&self, key: String, handle: Option<NotificationHandle>) -> Option<NotificationHandle> {
        let mut shown = self.shown.lock();
        let wanted = matches!(shown.remove(&key), Some(Shown::Soon));
        match handle {
            Some(handle) if wanted => {
                shown.insert(key, Shown::Now(Box::new(handle)));
                None
            }
            other => other,
        }
    }
}

/// Notes may hold markup, and the words are a stranger's.
fn plain(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[expect(clippy::disallowed_methods, reason = "nothing depends on a note, and it ends within seconds")]
fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(work);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_is_named_or_lies_where_it_always_does() {
        let folder = tempfile::tempdir().expect("a folder");
        let run = folder.path().display().to_string();
        let env = |name: &str| (name == "XDG_RUNTIME_DIR").then(|| run.clone());
        assert_eq!(session_bus(&env), None);
        std::fs::write(folder.path().join("bus"), "").expect("a file");
        assert_eq!(session_bus(&env), Some(format!("unix:path={run}/bus")));
        let named = |name: &str| (name == "DBUS_SESSION_BUS_ADDRESS").then(|| "unix:abstract=x".to_owned());
        assert_eq!(session_bus(&named).as_deref(), Some("unix:abstract=x"));
        assert_eq!(session_bus(&|_| None), None);
    }

    #[test]
    fn words_cannot_be_markup() {
        assert_eq!(plain("rm <b>x</b> && y"), "rm &lt;b&gt;x&lt;/b&gt; &amp;&amp; y");
    }
}
