//! What `mimir init` would write. Pure.

use std::collections::BTreeMap;
use std::path::Path;

use super::detect::Folder;
use crate::config::{Config, ConfigError, edit};
use crate::model::network::NetworkMode;

/// The start of a new file.
const HEAD: &str = "# mimir's configuration. What is not here has its built-in value:
# `mimir config show --origin` prints every setting and where it comes from.
#
# Model keys are read from ANTHROPIC_API_KEY, OPENAI_API_KEY and OPENROUTER_API_KEY,
# or set them here: `mimir config set providers.anthropic.key --stdin`.
";

/// What somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wishes {
    /// What frames may reach.
    pub network: NetworkMode,
    /// Hosts and groups for mode `allow`.
    pub allow: Vec<String>,
    /// `provider/model` or `auto`.
    pub model: String,
}

/// What fits this folder, and what is configured already.
pub fn wishes(config: &Config, folder: &Folder, env: &BTreeMap<String, String>) -> Wishes {
    let mut allow = config.frames.allow.clone();
    for kind in &folder.kinds {
        if !allow.iter().any(|group| group == kind.group) {
            allow.push(kind.group.to_owned());
        }
    }
    // A model that only this environment names is no setting of the file.
    let named_here = env.contains_key("MIMIR_OPENCODE_DEFAULT_MODEL");
    let model = config.opencode.default_model.as_ref().filter(|_| !named_here);
    Wishes {
        network: config.frames.network,
        allow,
        model: model.map_or_else(|| "auto".to_owned(), ToString::to_string),
    }
}

/// The file with the wishes in it. What it says already stays as it was written.
pub fn text(before: Option<&str>, file: &Path, wishes: &Wishes) -> Result<String, ConfigError> {
    let mut text = before.map_or_else(|| HEAD.to_owned(), str::to_owned);
    let fresh = before.is_none();
    let wanted = [
        ("frames.network", wishes.network.to_string(), "allow".to_owned()),
        ("frames.allow", wishes.allow.join(","), "npm,pypi,crates,debian,github".to_owned()),
        ("opencode.default_model", wishes.model.clone(), "auto".to_owned()),
    ];
    for (key, value, built_in) in wanted {
        let said = crate::config::tree::parse(&text, file)?.at(key).map(said_value);
        let differs = said.as_ref().map_or(value != built_in || fresh, |said| *said != value);
        if differs {
            text = edit::with_value(&text, file, key, &value)?;
        }
    }
    Ok(text)
}

/// What the file says, as `config set` would be given it.
fn said_value(node: &crate::config::Node) -> String {
    use crate::config::tree::Value;
    match &node.value {
        Value::List(items) => items.iter().filter_map(|item| item.text()).collect::<Vec<_>>().join(","),
        _ => node.text().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual() -> Wishes {
        let allow = ["npm", "pypi", "crates", "debian", "github"].map(str::to_owned).to_vec();
        Wishes { network: NetworkMode::Allow, allow, model: "auto".to_owned() }
    }

    fn written(before: Option<&str>, wishes: &Wishes) -> String {
        text(before, Path::new("config.yaml"), wishes).expect("it can be written")
    }

    #[test]
    fn a_second_run_changes_nothing() {
        let once = written(None, &usual());
        assert!(once.contains("network: allow"), "{once}");
        assert_eq!(written(Some(&once), &usual()), once);
    }

    #[test]
    fn a_file_that_is_there_keeps_its_words() {
        let before = "# mine\nframes:\n  network: sealed   # on purpose\n";
        let wishes = Wishes { network: NetworkMode::Sealed, ..usual() };
        assert_eq!(written(Some(before), &wishes), before);
        let mut go = wishes;
        go.allow.push("go".to_owned());
        let after = written(Some(before), &go);
        assert!(after.contains("# mine") && after.contains("# on purpose"), "{after}");
        assert!(after.contains("[npm, pypi, crates, debian, github, go]"), "{after}");
    }
}
