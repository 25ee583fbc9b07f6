//! Every word that stands in databases, on the wire and in files. A word that changes here breaks what is stored.

use std::fmt::Debug;
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use strum::IntoEnumIterator;

use crate::approval::{ApprovalState, Decision, RequestForm};
use crate::frame::{Desired, FrameState, Observed};
use crate::git::{GitMode, PushState};
use crate::message::DeliveryState;
use crate::network::NetworkMode;
use crate::policy::Action;
use crate::port::PortPurpose;
use crate::scope::Scope;
use crate::status::StatusWord;
use crate::token::TokenState;

fn same<T: Into<&'static str>>(values: impl IntoIterator<Item = T>, words: &str) {
    let found: Vec<&str> = values.into_iter().map(Into::into).collect();
    assert_eq!(found.join(" "), words);
}

/// What is read back from the database or a request as well.
fn read_back<T>(values: impl IntoIterator<Item = T>, words: &str)
where
    T: Copy + Debug + PartialEq + Into<&'static str> + FromStr + Serialize + DeserializeOwned,
{
    let values: Vec<T> = values.into_iter().collect();
    same(values.iter().copied(), words);
    for value in values {
        let word: &str = value.into();
        assert_eq!(word.parse::<T>().ok(), Some(value), "{word}");
        assert!(word.to_uppercase().parse::<T>().is_err(), "{word}: only as it is written");
        let json = serde_json::to_string(&value).expect("JSON");
        assert_eq!(json, format!("\"{word}\""));
        assert_eq!(serde_json::from_str::<T>(&json).expect("reads"), value);
    }
    assert!("nonsense".parse::<T>().is_err());
}

#[test]
fn words_are_what_they_were() {
    read_back(FrameState::iter(), "created starting running paused stopped error");
    read_back(Desired::iter(), "running paused stopped removed");
    read_back(DeliveryState::iter(), "queued sending sent running answered failed cancelled");
    read_back(ApprovalState::iter(), "pending answering allowed denied answered expired");
    read_back(
        [RequestForm::Permission, RequestForm::Question, RequestForm::Connection],
        "permission question connection",
    );
    read_back([PortPurpose::Agent, PortPurpose::Preview], "agent preview");
    read_back([NetworkMode::Sealed, NetworkMode::Allow, NetworkMode::Open], "sealed allow open");
    read_back(GitMode::iter(), "direct gate");
    read_back(PushState::iter(), "waiting approved pushed rejected failed replaced");
    read_back([Action::Allow, Action::Ask, Action::Deny], "allow ask deny");
    read_back(Scope::iter(), "read send approve frames terminal passthrough metrics admin");
    same(StatusWord::iter(), "starting idle busy waiting queued retrying wedged error paused stopped");
    same([TokenState::Active, TokenState::Expired, TokenState::Revoked], "active expired revoked");
    let answer = Decision::Answer { answers: Vec::new() };
    same(
        [Decision::Once, Decision::Always, Decision::Reject { why: None }, answer],
        "once always reject answer",
    );
    assert_eq!(Observed::iter().count(), 4);
}

#[test]
fn words_fill_the_columns_of_a_table() {
    assert_eq!(format!("{:<10}|", FrameState::Running), "running   |");
    assert_eq!(format!("{:>8}|", NetworkMode::Open), "    open|");
}
