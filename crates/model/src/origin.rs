//! What began something: a person, or a machine on somebody's behalf.
//!
//! Not who answers for it: that is the [`Principal`](crate::principal::Principal) of the audit row.

use serde::{Deserialize, Serialize};

/// What began a message or a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumIter, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Origin {
    /// Somebody asked for it, at a terminal or through the API.
    #[default]
    Person,
    /// Its time had come.
    Schedule,
    /// Another program told of something.
    Webhook,
    /// A step of a workflow's run.
    Run,
    /// A plugin.
    Plugin,
    /// The manager, on its way to a goal.
    Manager,
}

impl Origin {
    /// The word in the database, on the wire and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// For lists in which only what no person began is worth a word.
    #[must_use]
    pub fn is_person(self) -> bool {
        self == Self::Person
    }
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator as _;

    use super::*;

    #[test]
    fn the_words_are_those_that_databases_hold() {
        let words: Vec<&str> = Origin::iter().map(Origin::as_str).collect();
        assert_eq!(words, ["person", "schedule", "webhook", "run", "plugin", "manager"]);
        for origin in Origin::iter() {
            let json = serde_json::to_value(origin).expect("a word");
            assert_eq!(json, origin.as_str());
            assert_eq!(serde_json::from_value::<Origin>(json).expect("the same"), origin);
        }
    }
}
