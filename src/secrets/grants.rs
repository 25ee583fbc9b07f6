//! What frames are given of secrets.

use std::collections::BTreeMap;

use hyper::HeaderMap;

use super::{SecretError, Vault, placeholder};
use crate::clock;
use crate::model::allow::AllowGroups;
use crate::model::container::inside;
use crate::model::frame::Frame;
use crate::model::ids::FrameId;
use crate::model::names::SecretName;
use crate::model::network::NetworkMode;
use crate::model::principal::Principal;
use crate::model::secret::Secret;
use crate::model::secrets::{
    PLACEHOLDER, SecretForm, SecretGrant, SecretHost, check_header, check_variable, usual_variable,
};
use crate::store::secrets as rows;
use crate::store::{StoreError, frames};

/// What somebody gives to a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// How the frame sees it.
    pub form: SecretForm,
    /// In which variable; the usual one when absent.
    pub variable: Option<String>,
    /// Where a placeholder may go.
    pub host: Option<String>,
    /// In which headers besides those that authenticate.
    pub headers: Vec<String>,
}

/// What a frame is given at its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForStart {
    /// Variables.
    pub env: Vec<(String, Secret)>,
    /// Files, by name.
    pub files: Vec<(String, Secret)>,
    /// What could not be had, in sentences.
    pub missing: Vec<String>,
}

impl Vault {
    /// Gives a frame a secret. A placeholder works at once; its agent sees a variable from its next start on.
    ///
    /// # Errors
    /// See [`SecretError`]; nothing was given then.
    pub async fn grant(
        &self,
        principal: &Principal,
        frame: &Frame,
        name: &SecretName,
        grant: Grant,
    ) -> Result<SecretGrant, SecretError> {
        if !frame.engine.is_local() {
            return Err(SecretError::External(frame.name.to_string()));
        }
        let variable = grant.variable.unwrap_or_else(|| usual_variable(name, grant.form));
        check_variable(&variable).map_err(SecretError::Variable)?;
        let host = match (grant.form, grant.host) {
            (SecretForm::Placeholder, None) => return Err(SecretError::NoHost),
            (SecretForm::Placeholder, Some(host)) => Some(reachable(frame, host.parse()?)?),
            (SecretForm::Environment | SecretForm::File, Some(_)) => return Err(SecretError::HostOfNone),
            (SecretForm::Environment | SecretForm::File, None) => None,
        };
        if host.is_none() && !grant.headers.is_empty() {
            return Err(SecretError::Header("only a placeholder is replaced in headers".to_owned()));
        }
        let headers = grant.headers.iter().map(|name| check_header(name).map_err(SecretError::Header));
        let given = SecretGrant {
            headers: headers.collect::<Result<_, _>>()?,
            secret: name.clone(),
            form: grant.form,
            variable,
            placeholder: host
                .is_some()
                .then(|| format!("{PLACEHOLDER}{}", hex::encode(clock::entropy::<16>()))),
            host,
            granted_at: 0,
        };
        let value = self.value(name).await?;
        if given.form == SecretForm::Environment && value.reveal().contains(['\n', '\r']) {
            return Err(SecretError::Lines(name.clone()));
        }
        let (principal, frame, named) = (principal.clone(), frame.clone(), name.clone());
        let text = match &given.host {
            Some(host) => format!("the secret {name}, as {}, for {host}", given.variable),
            None => format!("the secret {name}, as {}", given.variable),
        };
        let written = self.inner.deps.store.write_as(move |tx| {
            rows::grant(tx, &principal, &frame, &given).map_err(|error| match error {
                StoreError::NotFound { .. } => SecretError::NotFound(given.secret.clone()),
                StoreError::Taken { value, .. } => SecretError::VariableTaken(value),
                other => other.into(),
            })?;
            frames::note(tx, &frame.id, "secret_given", &text)?;
            let all = rows::of_frame(tx, &frame.id)?;
            all.into_iter().find(|grant| grant.secret == named).ok_or(SecretError::NotFound(named))
        });
        written.await
    }

    /// Takes a secret back from a frame. Its placeholder is worth nothing at once; what its agent has seen, it has seen.
    ///
    /// # Errors
    /// [`SecretError::NotGranted`].
    pub async fn revoke(
        &self,
        principal: &Principal,
        frame: &Frame,
        name: &SecretName,
    ) -> Result<(), SecretError> {
        let (principal, frame, name) = (principal.clone(), frame.clone(), name.clone());
        let written = self.inner.deps.store.write_as(move |tx| {
            if !rows::revoke(tx, &principal, &frame, &name)? {
                return Err(SecretError::NotGranted { frame: frame.name.to_string(), name });
            }
            Ok(frames::note(tx, &frame.id, "secret_taken", &format!("the secret {name}"))?)
        });
        written.await
    }

    /// What a frame was given.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn of_frame(&self, frame: &FrameId) -> Result<Vec<SecretGrant>, StoreError> {
        let id = frame.clone();
        self.inner.deps.store.read(move |db| rows::of_frame(db, &id)).await
    }

    /// What a frame sees from its next start on.
    ///
    /// # Errors
    /// Only the database's; a secret that cannot be had is missing, and said to be.
    pub async fn given(&self, frame: &FrameId) -> Result<ForStart, StoreError> {
        let mut given = ForStart::default();
        for grant in self.of_frame(frame).await? {
            if let (Some(host), Some(placeholder)) = (&grant.host, &grant.placeholder) {
                given.env.push((grant.variable.clone(), Secret::new(placeholder.as_str())));
                given.env.push((format!("{}_URL", grant.variable), Secret::new(host.inside())));
                continue;
            }
            let value = match self.value(&grant.secret).await {
                Ok(value) => value,
                Err(error) => {
                    given.missing.push(error.to_string());
                    continue;
                }
            };
            match grant.form {
                SecretForm::File => {
                    let path = format!("{}/{}", inside::SECRETS, grant.secret);
                    given.env.push((grant.variable.clone(), Secret::new(path)));
                    given.files.push((grant.secret.to_string(), value));
                }
                _ if value.reveal().contains(['\n', '\r']) => {
                    given.missing.push(SecretError::Lines(grant.secret.clone()).to_string());
                }
                _ => given.env.push((grant.variable.clone(), value)),
            }
            self.note_used(&grant.secret).await;
        }
        Ok(given)
    }

    /// Whether a frame has a placeholder for that host.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn is_for(&self, frame: &FrameId, host: &SecretHost) -> Result<bool, StoreError> {
        Ok(self.of_frame(frame).await?.iter().any(|grant| grant.host.as_ref() == Some(host)))
    }

    /// Puts secrets in the place of the placeholders in a request's headers. Says whether there were any.
    ///
    /// # Errors
    /// [`SwapError`]; the headers are as they were then, or hold no secret more than before.
    pub async fn swap(
        &self,
        frame: &FrameId,
        host: &SecretHost,
        headers: &mut HeaderMap,
    ) -> Result<bool, SwapError> {
        let wanted = placeholder::in_headers(headers);
        if wanted.is_empty() {
            return Ok(false);
        }
        let grants = self.of_frame(frame).await.map_err(SecretError::from)?;
        let mut secrets = BTreeMap::new();
        let mut names = Vec::new();
        for (placeholder, stands_in) in wanted {
            let of = grants.iter().find(|grant| grant.placeholder.as_ref() == Some(&placeholder));
            let grant = of.ok_or(SwapError::Worthless)?;
            if let Some(other) = grant.host.as_ref().filter(|other| *other != host) {
                return Err(SwapError::OtherHost { name: grant.secret.clone(), host: other.to_string() });
            }
            if let Some(header) = stands_in.into_iter().find(|header| !grant.may_stand_in(header)) {
                return Err(SwapError::OtherHeader { name: grant.secret.clone(), header });
            }
            secrets.insert(placeholder, self.value(&grant.secret).await?);
            names.push(grant.secret.clone());
        }
        let before = headers.clone();
        if !placeholder::replace(headers, &secrets) {
            *headers = before;
            return Err(SwapError::NoHeader);
        }
        for name in names {
            self.note_used(&name).await;
        }
        Ok(true)
    }
}

/// Why a request is not passed on with its placeholders replaced.
#[derive(Debug, thiserror::Error)]
pub enum SwapError {
    /// It was taken back, or is another frame's.
    #[error("a placeholder in it stands for nothing that this frame was given")]
    Worthless,
    /// It may not go there.
    #[error("the placeholder of the secret {name} is for {host} alone")]
    OtherHost {
        /// Which secret.
        name: SecretName,
        /// Where it may go.
        host: String,
    },
    /// The host may keep what it is told there.
    #[error(
        "the placeholder of the secret {name} stands in the header `{header}`, which says nothing about who asks and may be \
         kept by the host; on its own machine, the owner may allow it with `mimir secret grant … --header {header}`"
    )]
    OtherHeader {
        /// Which secret.
        name: SecretName,
        /// Where it stood.
        header: String,
    },
    /// It has several lines.
    #[error("a secret in it cannot stand in a header")]
    NoHeader,
    /// It cannot be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// The host, when the frame's broker may speak to it.
fn reachable(frame: &Frame, host: SecretHost) -> Result<SecretHost, SecretError> {
    let name = frame.name.to_string();
    if frame.network != NetworkMode::Allow {
        return Err(SecretError::NoBroker { frame: name, network: frame.network });
    }
    // What cannot be read permits nothing, as it is at the broker.
    let read = |entries: &[String]| {
        let groups = AllowGroups::built_in().ok()?;
        groups.resolve(entries.iter().map(String::as_str)).ok()
    };
    let list = read(&frame.allow).and_then(|allow| Some(allow.except(read(&frame.deny)?)));
    if list.is_some_and(|list| list.traffic(&host.host, host.port).is_some()) {
        return Ok(host);
    }
    let usual = matches!(host.port, 80 | 443);
    let listed = if usual { host.host.clone() } else { format!("{}:{}", host.host, host.port) };
    Err(SecretError::NotListed { frame: name, host: listed })
}
