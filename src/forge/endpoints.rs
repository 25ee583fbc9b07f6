//! Where a forge's API is, and of which kind it is where nobody says so.

use url::Url;

use super::call::Call;
use super::error::ForgeError;
use super::json::Json;
use super::transport::Transport;
use crate::model::git::{ForgeHost, ForgeKind, KNOWN_FORGES, Repository};

/// Where its API is.
pub(super) fn api(host: &ForgeHost, kind: ForgeKind) -> Result<Url, ForgeError> {
    match kind {
        ForgeKind::Github if host.authority == "github.com" => parsed("https://api.github.com"),
        ForgeKind::Github => parsed(&format!("{}/api/v3", root(host))),
        ForgeKind::Gitea => parsed(&format!("{}/api/v1", root(host))),
    }
}

/// Where GitHub's other API is.
pub(super) fn graphql(host: &ForgeHost) -> Result<Url, ForgeError> {
    match host.authority.as_str() {
        "github.com" => parsed("https://api.github.com/graphql"),
        _ => parsed(&format!("{}/api/graphql", root(host))),
    }
}

/// Where git asks whether it may push.
pub(super) fn push(host: &ForgeHost, repository: &Repository) -> Result<Url, ForgeError> {
    parsed(&format!("{}/info/refs?service=git-receive-pack", repository.address(host)))
}

/// A repository's two names. GitHub and Gitea have no groups in groups.
pub(super) fn owner_and_name(repository: &Repository) -> Result<(&str, &str), ForgeError> {
    let names = repository.path().split_once('/').filter(|(_, name)| !name.contains('/'));
    names.ok_or_else(|| ForgeError::Refused(format!("{repository} is not OWNER/NAME there")))
}

/// Of which kind a forge is, as it says itself. It is not given a credential for that.
pub(super) async fn kind(host: &ForgeHost, to: impl Fn(Url) -> Transport) -> Result<ForgeKind, ForgeError> {
    if KNOWN_FORGES.contains(&host.authority.as_str()) {
        return Err(ForgeError::Refused(format!(
            "pull requests at {} are not spoken of yet: mimir knows the words of GitHub, Gitea and Forgejo",
            host.authority
        )));
    }
    for (kind, path, field) in [
        (ForgeKind::Gitea, "version", "/version"),
        (ForgeKind::Github, "meta", "/verifiable_password_authentication"),
    ] {
        let transport = to(api(host, kind)?);
        match transport.send(&Call::get(transport.url(&[path]), "which forge it is")).await {
            Ok(answer) if answer.is_fine() => {
                // Another server answers everything with a page.
                if answer.value().is_ok_and(|value| Json::of(&value).at(field).is_there()) {
                    return Ok(kind);
                }
            }
            Ok(answer) if kind == ForgeKind::Github && answer.header("x-github-request-id").is_some() => {
                return Ok(kind);
            }
            Ok(_) | Err(ForgeError::Auth(_) | ForgeError::Refused(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Err(ForgeError::Refused(format!(
        "{0} does not say which API it has: write its kind in `git.hosts`, such as gitea:{1} or github:{1}",
        host.authority,
        root(host)
    )))
}

fn root(host: &ForgeHost) -> String {
    let scheme = if host.is_plain { "http" } else { "https" };
    format!("{scheme}://{}", host.authority)
}

fn parsed(text: &str) -> Result<Url, ForgeError> {
    Url::parse(text).map_err(|error| ForgeError::Refused(format!("{text}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_place() {
        let of = |host: &str, kind: ForgeKind| {
            let host = ForgeHost::parse(host).expect("a host");
            api(&host, kind).expect("a place").to_string()
        };
        assert_eq!(of("github.com", ForgeKind::Github), "https://api.github.com/");
        assert_eq!(of("ghe.example.org", ForgeKind::Github), "https://ghe.example.org/api/v3");
        assert_eq!(of("http://10.0.0.7:3000", ForgeKind::Gitea), "http://10.0.0.7:3000/api/v1");
        let (host, blog) = (ForgeHost::parse("github.com"), Repository::parse("github.com/me/blog"));
        let place = push(&host.expect("a host"), &blog.expect("a repository")).expect("a place");
        assert_eq!(place.as_str(), "https://github.com/me/blog.git/info/refs?service=git-receive-pack");
        let deep = Repository::parse("git.example.org/group/sub/app").expect("a repository");
        assert!(owner_and_name(&deep).is_err());
    }
}
