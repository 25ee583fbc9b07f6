//! What this environment sets beside a gateway that runs already.
//!
//! What shapes a request goes along with it. What only the gateway can obey it did not hear of: that is said in one
//! line, instead of being ignored without a word.

use std::collections::BTreeMap;

use super::exit::{Failure, of_config};
use super::output::Out;
use crate::client::GatewayClient;
use crate::config::keys::{self, CONFIG, Key};
use crate::config::running::{applies, digest, exact};
use crate::config::show::Row;
use crate::config::{Config, ConfigProblem, LoadOptions, Origin, env};
use crate::wire::config::{Applies, RunningConfig, RunningSetting};

/// Keys below `prefix` that shape a request, and that this environment sets.
pub fn of_request(load: &LoadOptions, prefix: &str) -> BTreeMap<String, String> {
    let set = |key: &str| load.env.get(&env::variable_of(key)).filter(|text| !text.is_empty()).cloned();
    let keys = CONFIG.iter().map(|key| key.path.as_str());
    keys.filter(|key| key.starts_with(prefix) && applies(key) == Applies::Request)
        .filter_map(|key| Some((key.to_owned(), set(key)?)))
        .collect()
}

/// Compares this environment and the file with what the gateway uses, and says what it does not obey.
///
/// # Errors
/// A variable whose text no key can hold: no gateway would start with it.
pub async fn compare(out: &Out, load: &LoadOptions, gateway: &GatewayClient) -> Result<(), Failure> {
    let rows = match Config::load(load) {
        Ok(loaded) => exact(&loaded.tree),
        Err(error) if error.problems.iter().any(is_of_environment) => return Err(of_config(&error).into()),
        // The gateway says what is wrong with the file.
        Err(_) => Vec::new(),
    };
    // One that is older, or that does not tell us, is left alone.
    let Ok(theirs) = gateway.config().await else { return Ok(()) };
    if let Some(mistake) = theirs.mistake.as_deref().filter(|_| !gateway.is_remote()) {
        let first = mistake.lines().next().unwrap_or_default();
        out.caution(format!(
            "the configuration file cannot be used, and the gateway goes on with what it had: {first}; `mimir config check` shows all of it"
        ));
        return Ok(());
    }
    let ignored = ignored(&rows, &theirs, gateway.is_remote());
    if !ignored.is_empty() {
        let way = if gateway.is_remote() {
            "it belongs to the gateway elsewhere"
        } else {
            "`mimir serve --stop`, and the next command starts a gateway that does; frames go on"
        };
        out.caution(format!("the running gateway does not obey {}: {way}", ignored.join(", ")));
    }
    Ok(())
}

fn is_of_environment(problem: &ConfigProblem) -> bool {
    matches!(
        problem,
        ConfigProblem::Invalid { at: Origin::Env(_), .. }
            | ConfigProblem::UnknownKey { at: Origin::Env(_), .. }
    )
}

/// What the gateway does not obey, by the name under which it was set: a variable, or a key of the file.
fn ignored(rows: &[Row], theirs: &RunningConfig, is_remote: bool) -> Vec<String> {
    let mut names = Vec::new();
    for setting in theirs.settings.iter().filter(|setting| setting.applies != Applies::Request) {
        let key = &setting.key;
        let variable = env::variable_of(key);
        let differs = rows.iter().find(|row| row.key == *key && differs(row, setting, &theirs.salt));
        match differs.map(|row| &row.origin) {
            Some(Origin::Env(name)) => names.push(name.clone()),
            _ if is_remote => {}
            _ if setting.pending.is_some() => names.push(key.clone()),
            // Its own variable wins over the file that both read.
            Some(_) if setting.origin == variable => {}
            // The file refers to a variable that is another one here. What is built in does so for secrets alone.
            Some(Origin::File { .. }) => names.push(key.clone()),
            Some(_) if keys::of_row(key).is_some_and(Key::is_secret) => names.push(key.clone()),
            _ => {}
        }
    }
    names
}

/// Whether something is set here that is not what the gateway uses.
fn differs(here: &Row, setting: &RunningSetting, salt: &str) -> bool {
    if here.value.is_empty() {
        return false;
    }
    match (keys::of_row(&here.key).is_none_or(Key::is_secret), setting.value.is_empty()) {
        (true, false) => digest(salt, &here.key, &here.value) != setting.digest,
        _ => here.value != setting.value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(key: &str, value: &str, origin: &str) -> RunningSetting {
        RunningSetting {
            key: key.into(),
            value: value.into(),
            origin: origin.into(),
            applies: applies(key),
            pending: None,
            digest: None,
        }
    }

    fn told(rows: &[(&str, &str, Origin)], settings: Vec<RunningSetting>) -> Vec<String> {
        let rows: Vec<Row> = rows
            .iter()
            .map(|(key, value, origin)| Row {
                key: (*key).into(),
                value: (*value).into(),
                origin: origin.clone(),
            })
            .collect();
        let theirs =
            RunningConfig { file: "f".into(), changed: false, mistake: None, salt: "s".into(), settings };
        ignored(&rows, &theirs, false)
    }

    #[test]
    fn only_what_is_set_here_and_belongs_to_the_gateway_is_told() {
        let variable = |key: &str| Origin::Env(env::variable_of(key));
        // The gateway's own variable, which is not set here, is its affair.
        let theirs = vec![
            setting("turn.work", "5h", "MIMIR_TURN_WORK"),
            setting("frames.network", "allow", "built in"),
        ];
        let here =
            [("turn.work", "2h", Origin::BuiltIn), ("frames.network", "sealed", variable("frames.network"))];
        assert!(told(&here, theirs.clone()).is_empty());
        let here = [("turn.work", "1h", variable("turn.work"))];
        assert_eq!(told(&here, theirs), ["MIMIR_TURN_WORK"]);
    }

    #[test]
    fn a_key_that_came_after_the_gateway_is_told_by_its_digest() {
        let key = "providers.anthropic.key";
        let here = [(key, "sk-1", Origin::BuiltIn)];
        assert_eq!(told(&here, vec![setting(key, "", "built in")]), [key]);
        let with = |secret| RunningSetting {
            digest: digest("s", key, secret),
            ..setting(key, "•••", "built in")
        };
        assert_eq!(told(&here, vec![with("sk-2")]), [key]);
        assert!(told(&here, vec![with("sk-1")]).is_empty());
        assert!(told(&[(key, "", Origin::BuiltIn)], vec![with("sk-1")]).is_empty(), "nothing is set here");
    }
}
