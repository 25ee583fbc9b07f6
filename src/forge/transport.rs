//! One exchange with a forge: a deadline, a limit of size, a pause between two changes, and errors sorted by what the
//! caller does next. What opens the forge leaves for its own host alone.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use parking_lot::RwLock;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue, LOCATION};
use reqwest::{Method, Response};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use super::Keys;
use super::call::{Answer, Call};
use super::error::ForgeError;
use super::json::{Json, cut};
use super::limits::{Holder, Limits, until};
use crate::clock::Clock;
use crate::model::git::{ForgeHost, ForgeKind, Repository};
use crate::model::secret::Secret;
use crate::outbound::HttpClients;
use crate::redact::Secrets;

/// How often one question may be sent on.
const REDIRECTS: usize = 3;
/// The most that is repeated of what a forge says about an error.
const LONGEST_REASON: usize = 500;
/// What forges are asked with.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long one exchange may take.
    pub deadline: Duration,
    /// How much time lies between two changes of one repository: forges take more for abuse.
    pub between_changes: Duration,
    /// How many pages of one list are read, of those that have as many items as the forge gives at once.
    pub pages: usize,
    /// How long one answer may be.
    pub largest: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            between_changes: Duration::from_secs(1),
            pages: 30,
            largest: 8 * 1024 * 1024,
        }
    }
}

/// When a repository was changed last. Whoever changes it holds this meanwhile.
pub(super) type Pace = Arc<Mutex<Option<Instant>>>;

/// The way to one forge with one credential.
pub(super) struct Transport {
    pub(super) http: HttpClients,
    pub(super) clock: Clock,
    pub(super) settings: Settings,
    pub(super) limits: Limits,
    pub(super) holder: Holder,
    pub(super) pace: Pace,
    /// Where its API is.
    pub(super) base: Url,
    pub(super) kind: ForgeKind,
    pub(super) opener: RwLock<Arc<Opener>>,
    /// Where another token comes from when the forge does not take this one; none where there is no other.
    pub(super) renewal: Option<Renewal>,
}

/// What opens the forge now.
pub(super) struct Opener {
    token: Option<Secret>,
    /// The value of `Authorization`.
    authorization: Option<Secret>,
    /// What must not be repeated.
    hidden: Secrets,
}

impl Opener {
    pub(super) fn new(kind: ForgeKind, token: Option<&Secret>) -> Self {
        let scheme = match kind {
            ForgeKind::Github => "Bearer",
            ForgeKind::Gitea => "token",
        };
        let authorization = token.map(|token| Secret::new(format!("{scheme} {}", token.reveal())));
        Self { token: token.cloned(), authorization, hidden: Secrets::new(token) }
    }
}

/// Where another token comes from.
pub(super) struct Renewal {
    pub(super) keys: Arc<dyn Keys>,
    pub(super) host: ForgeHost,
    pub(super) repository: Repository,
    /// Whoever gets one holds this meanwhile.
    pub(super) alone: Mutex<()>,
}

impl Transport {
    /// The place below the API's.
    pub(super) fn url(&self, segments: &[&str]) -> Url {
        below(&self.base, segments)
    }

    /// Asks, and takes nothing but a yes for an answer.
    pub(super) async fn value(&self, call: &Call) -> Result<Value, ForgeError> {
        let answer = self.send(call).await?;
        if answer.is_fine() { answer.value() } else { Err(self.no(&answer)) }
    }

    /// Asks. An answer that is an error for everybody is one: nobody there, a limit, a credential that is none.
    pub(super) async fn send(&self, call: &Call) -> Result<Answer, ForgeError> {
        if let Some(until_ms) = self.limits.of(&self.holder, self.clock.now_ms()) {
            return Err(ForgeError::RateLimited { until_ms });
        }
        if call.method == Method::GET {
            return self.exchange(call).await;
        }
        let mut last = self.pace.lock().await;
        if let Some(last) = *last {
            tokio::time::sleep_until(last + self.settings.between_changes).await;
        }
        // Before it too: whoever does not await the end has asked all the same.
        *last = Some(Instant::now());
        let answer = self.exchange(call).await;
        *last = Some(Instant::now());
        answer
    }

    async fn exchange(&self, call: &Call) -> Result<Answer, ForgeError> {
        let opener = self.opener();
        let mut answer = self.answer(call).await?;
        // A token may be taken back before its time. Nothing was done with it, so it is asked once more with another.
        if answer.status == 401 && self.renewed(&opener).await? {
            answer = self.answer(call).await?;
        }
        let now = self.clock.now_ms();
        let limit = match answer.status {
            403 | 429 | 503 => until(answer.status, &answer.headers, &self.reason(&answer), now),
            _ => None,
        };
        if let Some(until_ms) = limit {
            self.limits.set(&self.holder, until_ms);
            return Err(ForgeError::RateLimited { until_ms });
        }
        match answer.status {
            401 => Err(ForgeError::Auth(self.not_opened())),
            500.. => Err(ForgeError::Transient(format!("{}: {}", answer.status, self.reason(&answer)))),
            _ => Ok(answer),
        }
    }

    async fn answer(&self, call: &Call) -> Result<Answer, ForgeError> {
        let deadline = self.settings.deadline;
        let late = || ForgeError::Transient(format!("it took longer than {} s", deadline.as_secs_f32()));
        tokio::time::timeout(deadline, self.follow(call)).await.map_err(|_| late())?
    }

    /// How the forge answers git when it asks at that place whether it may push. Nothing is moved by that.
    pub(super) async fn status_of_a_push(&self, place: &Url) -> Result<u16, ForgeError> {
        let opener = self.opener();
        let mut status = self.ask_to_push(place).await?;
        if status == 401 && self.renewed(&opener).await? {
            status = self.ask_to_push(place).await?;
        }
        if status == 429 || status >= 500 {
            return Err(ForgeError::Transient(format!("it answered {status} to git")));
        }
        Ok(status)
    }

    async fn ask_to_push(&self, place: &Url) -> Result<u16, ForgeError> {
        let client = self.http.to(place).map_err(|error| self.broken(error))?;
        let mut request = client.get(place.clone());
        if let Some(token) = &self.opener().token {
            // To git it is a password, whatever name stands beside it.
            let encoded = Secret::new(STANDARD.encode(format!("x-access-token:{}", token.reveal())));
            let value = HeaderValue::from_str(&format!("Basic {}", encoded.reveal()));
            let mut value = value.map_err(|_| ForgeError::Auth(self.not_opened()))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let late = || ForgeError::Transient("it took too long to say whether git may push".to_owned());
        let sent = tokio::time::timeout(self.settings.deadline, request.send());
        let response = sent.await.map_err(|_| late())?.map_err(|error| self.broken(error))?;
        Ok(response.status().as_u16())
    }

    fn opener(&self) -> Arc<Opener> {
        self.opener.read().clone()
    }

    /// Whether there is another token now than the one that was not taken.
    async fn renewed(&self, refused: &Arc<Opener>) -> Result<bool, ForgeError> {
        let (Some(renewal), Some(token)) = (&self.renewal, &refused.token) else { return Ok(false) };
        let _alone = renewal.alone.lock().await;
        if !Arc::ptr_eq(refused, &self.opener()) {
            return Ok(true);
        }
        let another = renewal.keys.instead_of(&renewal.host, &renewal.repository, token).await?;
        let Some(another) = another.filter(|another| another.token != *token) else { return Ok(false) };
        *self.opener.write() = Arc::new(Opener::new(self.kind, Some(&another.token)));
        Ok(true)
    }

    /// A repository that was renamed answers from another place of the same host.
    async fn follow(&self, call: &Call) -> Result<Answer, ForgeError> {
        let mut url = call.url.clone();
        for _ in 0..=REDIRECTS {
            let response = self.request(call, &url, true).await?;
            if let Some(next) = leads_to(&url, &response) {
                if next.origin() != self.base.origin() {
                    let host = next.host_str().unwrap_or_default();
                    return Err(ForgeError::Refused(
                        self.clean(&format!("for {} it sends to another host ({host})", call.what)),
                    ));
                }
                url = next;
                continue;
            }
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let body = self.whole(response, &call.what).await?;
            return Ok(Answer { status, headers, body, what: call.what.clone() });
        }
        Err(ForgeError::Refused(format!("for {} it sends around in a circle", call.what)))
    }

    async fn request(&self, call: &Call, url: &Url, with_key: bool) -> Result<Response, ForgeError> {
        let client = self.http.to(url).map_err(|error| self.broken(error))?;
        let mut request = client.request(call.method.clone(), url.clone());
        let opener = self.opener();
        if let Some(authorization) = opener.authorization.as_ref().filter(|_| with_key) {
            let value = HeaderValue::from_str(authorization.reveal());
            let mut value = value.map_err(|_| ForgeError::Auth(self.not_opened()))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        request = match self.kind {
            ForgeKind::Github => request
                .header(ACCEPT, "application/vnd.github+json")
                .header("x-github-api-version", "2022-11-28"),
            ForgeKind::Gitea => request.header(ACCEPT, "application/json"),
        };
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        request.send().await.map_err(|error| self.broken(error))
    }

    async fn whole(&self, mut response: Response, what: &str) -> Result<Bytes, ForgeError> {
        let mut body = BytesMut::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.broken(error))? {
            if body.len() + piece.len() > self.settings.largest {
                return Err(ForgeError::TooMuch(what.to_owned()));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }

    /// The end of a long text, if it can be had. It may lie at another host, which gets no credential.
    pub(super) async fn end_of(&self, call: &Call, most: usize) -> Result<Option<Vec<u8>>, ForgeError> {
        let late = || ForgeError::Transient(format!("{} took too long", call.what));
        let read = tokio::time::timeout(self.settings.deadline, self.read_end(call, most));
        read.await.map_err(|_| late())?
    }

    async fn read_end(&self, call: &Call, most: usize) -> Result<Option<Vec<u8>>, ForgeError> {
        let mut url = call.url.clone();
        for _ in 0..=REDIRECTS {
            let is_its_own = url.origin() == self.base.origin();
            if !is_its_own && url.scheme() != "https" && self.base.scheme() == "https" {
                return Ok(None);
            }
            let mut response = self.request(call, &url, is_its_own).await?;
            if let Some(next) = leads_to(&url, &response) {
                url = next;
                continue;
            }
            if !response.status().is_success() {
                return Ok(None);
            }
            let (mut end, mut left) = (Vec::new(), self.settings.largest.saturating_mul(8));
            while let Some(piece) = response.chunk().await.map_err(|error| self.broken(error))? {
                left = left.saturating_sub(piece.len());
                end.extend_from_slice(&piece);
                if end.len() > 2 * most {
                    end.drain(..end.len() - most);
                }
                if left == 0 {
                    break;
                }
            }
            end.drain(..end.len().saturating_sub(most));
            return Ok(Some(end));
        }
        Ok(None)
    }

    /// What a no means for whoever asked.
    pub(super) fn no(&self, answer: &Answer) -> ForgeError {
        let what = &answer.what;
        match answer.status {
            404 | 410 => ForgeError::NotFound(what.clone()),
            403 => {
                let needs =
                    answer.header("x-accepted-github-permissions").map(|needs| format!("; it takes {needs}"));
                ForgeError::Auth(self.clean(&format!(
                    "{} does not let this credential come to {what}: {}{}",
                    self.host(),
                    self.reason(answer),
                    needs.unwrap_or_default()
                )))
            }
            _ => ForgeError::Refused(format!("{what}: {}", self.reason(answer))),
        }
    }

    /// Why, in the forge's own words, in one line.
    pub(super) fn reason(&self, answer: &Answer) -> String {
        let value = answer.value().unwrap_or_default();
        let value = Json::of(&value);
        let mut words: Vec<String> = value.at("/message").some_text().into_iter().collect();
        for error in value.at("/errors").items().take(5) {
            let said = error.at("/message").some_text().or_else(|| error.some_text());
            let named = || {
                let (field, code) = (error.at("/field").text(), error.at("/code").text());
                Some(format!("{field} {code}")).filter(|words| words.trim() != "")
            };
            words.extend(said.or_else(named));
        }
        let text = match words.is_empty() {
            true => format!("it answered {}", answer.status),
            false => words.join("; "),
        };
        let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        cut(&self.clean(&line), LONGEST_REASON).to_owned()
    }

    /// A text without what opens the forge.
    pub(super) fn clean(&self, text: &str) -> String {
        self.opener().hidden.out_of(text)
    }

    pub(super) fn host(&self) -> &str {
        match self.base.host_str().unwrap_or_default() {
            "api.github.com" => "github.com",
            host => host,
        }
    }

    fn not_opened(&self) -> String {
        let host = self.host();
        match self.opener().authorization {
            Some(_) => format!(
                "{host} does not take the credential (any more): give `git.credentials` a new one for it"
            ),
            None => format!("{host} asks for a credential: `git.credentials` has a place for one"),
        }
    }

    fn broken(&self, error: reqwest::Error) -> ForgeError {
        let never_sent = error.is_connect() || error.is_builder();
        let error = error.without_url();
        let (mut text, mut cause) = (error.to_string(), error.source());
        while let Some(next) = cause {
            text = format!("{text}: {next}");
            cause = next.source();
        }
        let text = cut(&self.clean(&text), LONGEST_REASON).to_owned();
        if never_sent { ForgeError::Unreachable(text) } else { ForgeError::Transient(text) }
    }
}

/// A place below another, each part encoded.
pub(super) fn below(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

fn leads_to(from: &Url, response: &Response) -> Option<Url> {
    if !matches!(response.status().as_u16(), 301 | 302 | 307 | 308) {
        return None;
    }
    from.join(response.headers().get(LOCATION)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_path_cannot_leave_it() {
        let base = Url::parse("https://ghe.test/api/v3").expect("an address");
        let of = |segments: &[&str]| below(&base, segments).to_string();
        assert_eq!(of(&["repos", "me", "blog"]), "https://ghe.test/api/v3/repos/me/blog");
        assert_eq!(of(&["users", "../../x?y#z"]), "https://ghe.test/api/v3/users/..%2F..%2Fx%3Fy%23z");
        let bare = Url::parse("https://api.github.com").expect("an address");
        assert_eq!(below(&bare, &["user"]).to_string(), "https://api.github.com/user");
    }
}
