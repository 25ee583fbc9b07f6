//! A world whose model says what is written down, reached as any other: real opencode, its frame's broker, a key that
//! only the host has.

use std::fs;

use super::support::{Engine, World, skip};
use crate::scripted_model::ScriptedModel;

/// The model's key.
pub const KEY: &str = "sk-scripted-0123456789abcdef";

/// A world whose default model is scripted. What the tests do with it stands beside them.
pub struct Scripted {
    pub world: World,
    pub model: ScriptedModel,
    threads: tokio::runtime::Runtime,
}

impl Scripted {
    /// With `more` in the configuration. Nothing runs yet. `None` where this machine has no engine.
    pub fn new(test: &str, more: &str) -> Option<Self> {
        let engine = Engine::usual();
        let world = match World::new(engine) {
            Ok(world) => world,
            Err(why) => {
                skip(test, &why);
                return None;
            }
        };
        let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let threads = threads.expect("a runtime");
        let model = threads.block_on(ScriptedModel::start());
        let config = format!(
            "providers:\n  scripted:\n    kind: openai-compatible\n    base_url: {}\n    key: {KEY}\n    \
             models: [scripted]\nopencode:\n  default_model: scripted/scripted\n{more}",
            model.base_url()
        );
        let scripted = Self { world, model, threads };
        let _ = scripted.write("config.yaml", &config);
        Some(scripted)
    }

    /// A file of the user's own in the home; says where.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.world.home.join(name);
        fs::write(&path, text).expect("a file");
        std::os::unix::fs::chown(&path, Some(self.world.uid()), None).expect("the user's own file");
        path.display().to_string()
    }

    /// Answers that wait end.
    pub fn release(&self) {
        let _inside = self.threads.enter();
        self.model.release();
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        // Answers that wait for nobody any more.
        self.release();
    }
}
