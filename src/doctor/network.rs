//! Whether what the allow-list promises can be fetched from inside: through the broker, with the certificates and the
//! variables that every frame has.

use std::time::Duration;

use futures_util::future::join_all;

use super::Subject;
use super::check::{About, Finding};
use super::engine::with_cause;
use crate::model::allow::AllowGroups;
use crate::model::container::ContainerSpec;
use crate::model::doctor::Check;
use crate::model::ids::FrameId;
use crate::model::network::NetworkMode;
use crate::model::visible::exact;
use crate::runtime::ExecSpec;

const WITHIN: Duration = Duration::from_secs(30);
/// One fetch, in seconds, as curl reads it.
const PATIENCE: &str = "8";
/// curl's word for a certificate that nobody it trusts has signed.
const UNKNOWN_CERTIFICATE: i64 = 60;

const ALLOW: About = About {
    id: "network.allow",
    title: "what frames may reach can be fetched from inside",
    why: "npm, pip, cargo and git in a frame fail otherwise",
};

/// Opens the way out for doctor's frame, where there is one to try.
async fn open(subject: &Subject, spec: &ContainerSpec) -> Result<(), Finding> {
    if subject.network != NetworkMode::Allow {
        return Err(Finding::skipped(format!("frames are {} here (frames.network)", subject.network)));
    }
    let Some(broker) = &subject.broker else {
        return Err(Finding::skipped("without a gateway nobody listens for what frames ask"));
    };
    let opened = broker.open_broker(spec, &subject.allow).await;
    opened.map_err(|error| Finding::skipped(error.to_string()))
}

/// Fetches from one host of each entry.
pub(super) async fn check(subject: &Subject, spec: &ContainerSpec) -> Check {
    if let Err(finding) = open(subject, spec).await {
        return ALLOW.found(finding, Duration::ZERO);
    }
    let groups = AllowGroups::built_in().unwrap_or_default();
    let asked = subject.allow.iter().filter_map(|entry| Some((entry.as_str(), groups.example(entry)?)));
    let fetched =
        asked.map(|(entry, host)| async move { (entry, fetch(subject, &spec.frame, &host).await, host) });
    ALLOW.attempt(WITHIN, async { judge(&join_all(fetched).await) }).await
}

/// Why a host could not be fetched from.
#[derive(Debug, PartialEq, Eq)]
struct Trouble {
    why: String,
    /// Whether it is the certificate.
    untrusted: bool,
}

/// Any answer will do: it came through.
async fn fetch(subject: &Subject, frame: &FrameId, host: &str) -> Result<(), Trouble> {
    let curl = |url: String, to: &str| {
        let argv = ["mimir-run", "curl", "-sS", "--max-time", PATIENCE, "-o", to, &url];
        subject.runtime.exec(frame, ExecSpec::new(argv))
    };
    let other = |why: &str| Trouble { why: exact(why.trim()), untrusted: false };
    let done =
        curl(format!("https://{host}/"), "/dev/null").await.map_err(|error| other(&with_cause(&error)))?;
    if done.exit_code == 0 {
        return Ok(());
    }
    let said = done.stderr.trim().trim_start_matches("curl: ");
    if done.exit_code == UNKNOWN_CERTIFICATE {
        return Err(Trouble { untrusted: true, ..other(said.lines().next().unwrap_or_default()) });
    }
    // Of a tunnel curl shows no more than a number; asked without one, the broker says why.
    let plain = curl(format!("http://{host}/"), "-").await.ok();
    let why = plain.map(|done| done.stdout).filter(|text| text.contains(host)).unwrap_or_default();
    Err(other(why.lines().next().unwrap_or(said).trim_start_matches("mimir: ")))
}

fn judge(fetched: &[(&str, Result<(), Trouble>, String)]) -> Finding {
    let (good, bad): (Vec<_>, Vec<_>) = fetched.iter().partition(|(_, done, _)| done.is_ok());
    let names = good.iter().map(|(entry, ..)| *entry).collect::<Vec<_>>().join(", ");
    let Some((_, _, host)) = bad.first() else {
        return Finding::ok(if names.is_empty() {
            "nothing is on the list".into()
        } else {
            format!("{names} answer")
        });
    };
    let troubles = bad.iter().filter_map(|(entry, done, _)| {
        done.as_ref().err().map(|trouble| format!("{entry}: {}", trouble.why))
    });
    let mut found = troubles.collect::<Vec<_>>().join("; ");
    if !names.is_empty() {
        found.push_str(&format!(" ({names} answer)"));
    }
    let untrusted = bad.iter().any(|(_, done, _)| done.as_ref().is_err_and(|trouble| trouble.untrusted));
    let fix = if untrusted {
        "let this machine trust the certificate of its network: copy it to \
         /usr/local/share/ca-certificates/NAME.crt and run `sudo update-ca-certificates`; frames have it after their next start"
            .to_owned()
    } else {
        format!(
            "curl -v https://{host}/ (on this machine); groups that are not needed may leave `frames.allow`"
        )
    };
    Finding::warning(found, fix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::doctor::Outcome;

    fn trouble(why: &str, untrusted: bool) -> Result<(), Trouble> {
        Err(Trouble { why: why.to_owned(), untrusted })
    }

    #[test]
    fn each_group_that_fails_is_named_with_its_reason() {
        let good = judge(&[("npm", Ok(()), "a.test".into()), ("pypi", Ok(()), "b.test".into())]);
        assert_eq!((good.outcome, good.found.as_str()), (Outcome::Ok, "npm, pypi answer"));

        let away = judge(&[
            ("npm", Ok(()), "a.test".into()),
            ("github", trouble("b.test cannot be reached", false), "b.test".into()),
        ]);
        assert_eq!(away.outcome, Outcome::Warning);
        assert_eq!(away.found, "github: b.test cannot be reached (npm answer)");
        assert!(away.fix.is_some_and(|fix| fix.contains("https://b.test/")));

        let inspected = judge(&[("npm", trouble("SSL certificate problem", true), "a.test".into())]);
        assert!(inspected.fix.is_some_and(|fix| fix.contains("update-ca-certificates")));
        assert_eq!(judge(&[]).outcome, Outcome::Ok);
    }
}
