//! Which provider answers: what is known already, what is found, or a key that somebody has in hand.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;

use super::choose::{WITH_KEYS, first_model, kind_of_key, masked};
use super::known::{Found, Key, of_environment, of_opencode};
use super::local;
use crate::cli::ask;
use crate::cli::context::Context;
use crate::cli::exit::{Failure, usage};
use crate::cli::output::Out;
use crate::cli::table::clean;
use crate::config::Config;
use crate::model::secret::Secret;
use crate::models::{CheckError, ProviderKind, ProviderSettings, list_models};
use crate::outbound::HttpClients;
use crate::wire::problem::Problem;

/// How long a provider may take to say which models it has.
const CHECK: Duration = Duration::from_secs(15);
/// So many models of a server of one's own are offered.
const OFFERED: usize = 20;
/// What is asked when nothing is known.
const A_KEY: &str = "A key of Anthropic, OpenAI, OpenRouter or Google, or the address of a server (http://…).\n\
                     It is not shown; Enter alone: the built-in demo, which is no model.";

/// What came of asking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The provider that is to be written; none when what is configured does.
    pub taken: Option<Found>,
    /// The model to begin with.
    pub model: Option<String>,
}

/// A provider that somebody wants.
struct Taken {
    found: Found,
    model: Option<String>,
}

/// Who is asked, and with what.
pub struct Providers<'a> {
    context: &'a Context,
    config: &'a Config,
    env: &'a BTreeMap<String, String>,
    http: HttpClients,
}

impl<'a> Providers<'a> {
    /// Of this configuration and environment.
    pub fn new(context: &'a Context, config: &'a Config, env: &'a BTreeMap<String, String>) -> Self {
        Self { context, config, env, http: HttpClients::default() }
    }

    /// Tries what is configured, offers what is found, and asks for a key when nothing of it works or is wanted.
    ///
    /// # Errors
    /// When the terminal cannot be read.
    pub async fn ask(&self) -> Result<Answer, Failure> {
        let out = &self.context.out;
        out.say("\nWhich provider of models?");
        let works = self.try_configured().await;
        let local = out.while_waiting("looking for model servers", local::look(self.env, &self.http)).await;
        for found in self.offers(local) {
            if let Some(taken) = self.offer(found).await {
                return Ok(Answer { model: taken.model.clone(), taken: Some(taken.found) });
            }
        }
        if let Some(model) = works {
            return Ok(Answer { taken: None, model });
        }
        let taken = self.ask_for_a_key().await?;
        Ok(taken
            .map_or_else(Answer::default, |taken| Answer { model: taken.model, taken: Some(taken.found) }))
    }

    /// Says what is known and would be asked about, when nobody is there to be asked.
    pub fn tell(&self) {
        self.tell_configured();
        for found in self.offers(Vec::new()) {
            self.context.out.say(format!(
                "found    {}; it is used only after a yes: `mimir init`, or `mimir init --provider {}`",
                self.described(&found),
                found.name
            ));
        }
    }

    /// The key that comes from standard input, or what this environment knows of the provider that was named.
    ///
    /// # Errors
    /// When there is no key, nobody knows whose it is, or it does not open anything.
    pub async fn given(
        &self,
        provider: Option<&str>,
        key: Option<Secret>,
        check: bool,
    ) -> Result<Answer, Failure> {
        let found = match key {
            Some(key) => self.of_key(key, provider)?,
            None => self.known_by_name(provider.unwrap_or_default()).await?,
        };
        if !check {
            return Ok(Answer { model: None, taken: Some(found) });
        }
        let models = self.check(&found).await.map_err(|error| problem(&found.name, &error))?;
        self.context.out.say(accepted(&found, &models));
        let Taken { found, model } = taken(found, models);
        Ok(Answer { model, taken: Some(found) })
    }

    fn of_key(&self, key: Secret, provider: Option<&str>) -> Result<Found, Failure> {
        if key.reveal().is_empty() {
            return Err(usage("there is no key on standard input")
                .hint("`… | mimir init --key-stdin`; without a key `mimir init --non-interactive`")
                .into());
        }
        let kind = match provider {
            Some(name) => named_kind(name),
            None => kind_of_key(key.reveal()),
        };
        let kind = kind.filter(|kind| kind.needs_key()).ok_or_else(|| {
            usage("nobody can tell whose key this is")
                .hint("say it: `mimir init --key-stdin --provider anthropic`, or openai, openrouter, google")
        })?;
        Ok(of_kind(kind, Key::Text(key), "standard input"))
    }

    /// What the environment, this machine or opencode knows under a name that somebody typed, which is a yes.
    async fn known_by_name(&self, name: &str) -> Result<Found, Failure> {
        let mut all = of_environment(self.env);
        all.extend(of_opencode(self.env).0);
        all.extend(local::look(self.env, &self.http).await);
        all.into_iter().find(|found| found.name == name).ok_or_else(|| {
            let problem =
                Problem::new(404, "init.no_such_provider", format!("nothing is known of `{name}` here"));
            let hint = match named_kind(name).filter(|kind| kind.needs_key()) {
                Some(_) => format!("give its key: `… | mimir init --provider {name} --key-stdin`"),
                None => "`mimir init` shows what is found; is the server running?".to_owned(),
            };
            problem.hint(hint).into()
        })
    }

    /// Asks each configured provider for its models. Gives the model to begin with, if any of them answers.
    async fn try_configured(&self) -> Option<Option<String>> {
        self.tell_configured();
        let usable = self.config.providers.values().filter(|provider| provider.is_usable());
        let asked = usable.filter_map(|provider| {
            let kind: ProviderKind = provider.kind.parse().ok()?;
            let key = provider.key.clone().map_or(Key::None, Key::Text);
            let (name, base_url) = (provider.name.clone(), provider.base_url.clone());
            let found = Found { name, kind, base_url, key, from: String::new(), models: Vec::new() };
            Some(async move { (self.check(&found).await, found) })
        });
        let mut works = None;
        for (models, found) in join_all(asked).await {
            match models {
                Ok(models) => {
                    self.context.out.say(format!("  {}", accepted(&found, &models)));
                    let model =
                        first_model(found.kind, &models).map(|model| format!("{}/{model}", found.name));
                    works.get_or_insert(model);
                }
                Err(error) => self.context.out.warn(clean(&format!("{}: {error}", found.name))),
            }
        }
        works
    }

    /// What is configured and could work.
    fn tell_configured(&self) {
        for provider in self.config.providers.values().filter(|provider| provider.is_usable()) {
            let of = of_environment(self.env).into_iter().find(|found| {
                found.secret(self.env).as_ref() == provider.key.as_ref() && provider.key.is_some()
            });
            let from = of.map_or_else(|| "the configuration".to_owned(), |found| found.from);
            let key =
                provider.key.as_ref().map(|key| format!(" ({})", masked(key.reveal()))).unwrap_or_default();
            self.context.out.say(clean(&format!("  {} is configured: {from}{key}", provider.name)));
        }
    }

    /// What could be used and is not yet, each name once.
    fn offers(&self, local: Vec<Found>) -> Vec<Found> {
        let (of_opencode, notes) = of_opencode(self.env);
        for note in notes {
            self.context.out.say(self.context.dim(&format!("  {}", clean(&note))));
        }
        let is_used = |found: &Found| {
            self.config.providers.get(&found.name).is_some_and(crate::config::provider::Provider::is_usable)
        };
        let mut offers: Vec<Found> = Vec::new();
        for found in of_environment(self.env).into_iter().chain(of_opencode).chain(local) {
            let again = offers.iter().any(|other| other.name == found.name);
            if !again && !is_used(&found) && is_a_name(&found.name) {
                offers.push(found);
            }
        }
        offers
    }

    /// Asks whether something that was found is to be used, and checks it.
    async fn offer(&self, found: Found) -> Option<Taken> {
        let out = &self.context.out;
        if !ask::yes_or_no(out, &format!("  Use {}?", self.described(&found)), true) {
            return None;
        }
        match self.check(&found).await {
            Ok(models) => {
                out.say(format!("  {}", accepted(&found, &models)));
                Some(taken(found, models))
            }
            Err(error) => self.keep_anyway(found, &error),
        }
    }

    /// Who it is, from where, and as much of its key as may be seen.
    fn described(&self, found: &Found) -> String {
        let key = found.secret(self.env).map(|key| format!(", key {}", masked(key.reveal())));
        let at = found.base_url.as_ref().map(|url| format!(" at {url}"));
        clean(&format!("{}{}: {}{}", found.name, at.unwrap_or_default(), found.from, key.unwrap_or_default()))
    }

    async fn ask_for_a_key(&self) -> Result<Option<Taken>, Failure> {
        let out = &self.context.out;
        out.say(A_KEY);
        loop {
            let typed = ask::hidden("key: ").map_err(|error| {
                usage("the key cannot be read")
                    .detail(error.to_string())
                    .hint("`… | mimir init --key-stdin` takes it from a pipe")
            })?;
            let typed = typed.trim();
            if typed.is_empty() {
                return Ok(None);
            }
            let Some(found) = self.of_typed(typed) else { continue };
            match self.check(&found).await {
                Ok(models) => {
                    out.say(format!("  {}", accepted(&found, &models)));
                    return Ok(Some(taken(found, models)));
                }
                Err(error) => {
                    if let Some(taken) = self.keep_anyway(found, &error) {
                        return Ok(Some(taken));
                    }
                    out.say("Another key, or Enter for the demo:");
                }
            }
        }
    }

    /// A key or an address.
    fn of_typed(&self, typed: &str) -> Option<Found> {
        let out = &self.context.out;
        if typed.starts_with("http://") || typed.starts_with("https://") {
            let Ok(url) = typed.trim_end_matches('/').parse::<url::Url>() else {
                out.say("  that is no address; write it as http://127.0.0.1:8000/v1");
                return None;
            };
            let name = ask::text(out, "  what shall it be called?", "local");
            let kind = ProviderKind::OpenAiCompatible;
            let (key, from, models) = (Key::None, "you".to_owned(), Vec::new());
            return Some(Found { name, kind, base_url: Some(url), key, from, models });
        }
        let kind = kind_of_key(typed).or_else(|| whose(out))?;
        Some(of_kind(kind, Key::Text(Secret::new(typed)), "you"))
    }

    async fn check(&self, found: &Found) -> Result<Vec<String>, CheckError> {
        // What the configuration says about the address of a provider of that name holds.
        let configured =
            self.config.providers.get(&found.name).and_then(|provider| provider.base_url.clone());
        let settings = ProviderSettings {
            name: found.name.clone(),
            kind: found.kind,
            base_url: found.base_url.clone().or(configured),
            key: found.secret(self.env),
            models: Vec::new(),
        };
        let asked = list_models(&settings, &self.http, CHECK);
        self.context.out.while_waiting(&format!("asking {}", found.name), asked).await
    }

    /// A key that could not be tried may still be right; one that is refused is not.
    fn keep_anyway(&self, found: Found, error: &CheckError) -> Option<Taken> {
        let out = &self.context.out;
        out.warn(clean(&format!("{}: {error}", found.name)));
        if matches!(error, CheckError::Refused { .. }) {
            return None;
        }
        let keep = ask::yes_or_no(out, "  Use it all the same?", false);
        keep.then_some(Taken { model: None, found })
    }
}

/// Asks whose a key is that does not say it.
fn whose(out: &Out) -> Option<ProviderKind> {
    let names: Vec<&str> = WITH_KEYS.iter().map(|(_, name)| *name).collect();
    let answer = ask::text(out, &format!("  whose key is it? {}", names.join(", ")), "OpenAI");
    let kind = WITH_KEYS.iter().find(|(_, name)| name.eq_ignore_ascii_case(&answer)).map(|(kind, _)| *kind);
    if kind.is_none() {
        out.say(format!(
            "  it is none of {}; others: `mimir config set providers.NAME.base_url …`",
            names.join(", ")
        ));
    }
    kind
}

fn named_kind(name: &str) -> Option<ProviderKind> {
    WITH_KEYS.iter().map(|(kind, _)| *kind).find(|kind| kind.as_str() == name)
}

fn of_kind(kind: ProviderKind, key: Key, from: &str) -> Found {
    let (name, from) = (kind.as_str().to_owned(), from.to_owned());
    Found { name, kind, base_url: None, key, from, models: Vec::new() }
}

fn taken(mut found: Found, models: Vec<String>) -> Taken {
    let is_own = !found.kind.needs_key();
    let model = first_model(found.kind, &models).map(|model| format!("{}/{model}", found.name));
    // opencode knows the models of the large providers by itself.
    if is_own && found.models.is_empty() {
        found.models = models.into_iter().filter(|model| !model.contains(',')).take(OFFERED).collect();
    }
    Taken { found, model }
}

fn accepted(found: &Found, models: &[String]) -> String {
    let count = match models.len() {
        1 => "1 model".to_owned(),
        n => format!("{n} models"),
    };
    let what = if found.key == Key::None { "answers" } else { "accepts the key" };
    clean(&format!("{} {what}: {count}", found.name))
}

/// What the configuration takes as a provider's name.
fn is_a_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    !name.is_empty() && name != "demo" && name.bytes().all(plain)
}

fn problem(name: &str, error: &CheckError) -> Failure {
    let (status, code, hint) = match error {
        CheckError::Refused { .. } => (401, "auth.provider_refused", "give another key; nothing was written"),
        CheckError::Unreachable { .. } => (
            503,
            "provider.unreachable",
            "look at the network, or keep it untried with `--no-check`; nothing was written",
        ),
        CheckError::Strange { .. } => (
            502,
            "provider.strange",
            "try again later, or keep it untried with `--no-check`; nothing was written",
        ),
    };
    Problem::new(status, code, clean(&format!("{name}: {error}"))).hint(hint).into()
}
